#!/bin/sh
# Cost: about half an hour on one CPU core (scenes 18 min, looking 4, training 8, figures 1).
# The recipe of walk/tiny: sh runs/walk_tiny.sh [OUT]. It looks with the eyes of locate/tiny. Every step resumes after a kill.
set -eu
out=${1:-out/walk_tiny}
synesthesia world scenes -n 2048 --seed 1 --split train --seconds 0.1 -o "$out/train"
synesthesia world scenes -n 192 --seed 90003 --split test --seconds 0.1 -o "$out/test"
synesthesia train depth "$out/train" -o "$out/model"
python runs/place.py "$out/test" --model "$out/model/final"
