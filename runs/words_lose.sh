#!/bin/sh
# Cost: about 15 minutes on one CPU core (birds 8, laws 5, strikes 1; the worlds not counted).
# What words lose, and its curves: sh runs/words_lose.sh BIRDS SCENES KNOCK [OUT]
#   BIRDS, SCENES, KNOCK  folders with train/ and test/, made by `synesthesia world birds`, `scenes` and `knock`
#                         (of KNOCK, test/ holds the split objects)
# Writes OUT/words.json with every figure and OUT/words.png for the README.
set -eu
birds=$1 scenes=$2 knock=$3 out=${4:-out/words_lose}
export OMP_WAIT_POLICY=PASSIVE
mkdir -p "$out"
synesthesia evaluate words --judged 200 --birds "$birds" --scenes "$scenes" --knock "$knock" -o "$out/words.json" \
    --picture "$out/words.png"
