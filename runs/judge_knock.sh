#!/bin/sh
# Cost: about 10 minutes on one core. Trains the audio-only judge of material and prints its ceilings.
# It leaves tests/judge.safetensors, with which `make test` checks the shipped weights by ear.
set -eu
cd "$(dirname "$0")/.."
OMP_NUM_THREADS=1 exec "${PYTHON:-.venv/bin/python}" -m synesthesia.evaluate.judge tests/judge.safetensors "${CACHE:-.cache/judge}"
