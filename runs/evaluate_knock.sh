#!/bin/sh
# Cost: about 10 minutes on one core, and half an hour for the worlds. The table of docs/models.md: knock on held-out worlds and real photos.
#
#   runs/evaluate_knock.sh TRAIN_WORLD PHOTOS [MODEL [OUT]]
#
# TRAIN_WORLD: shards of the split train that the model learned from. PHOTOS: one folder per material. STAGES: the folder
# where runs/knock_tiny.sh left its stages, for the rows "simulation only" and "unlabelled photos". The test worlds are
# made where they are missing (WORLD, default worlds/test); TEST_SEED is one that no training uses.
set -eu
cd "$(dirname "$0")/.."
train=$1 photos=$2 model=${3:-knock/tiny} out=${4:-reports/knock}
world=${WORLD:-worlds/test}
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
for split in objects families combinations invented; do
    .venv/bin/synesthesia world knock -n "${N:-300}" --seed "${TEST_SEED:-90001}" --width 192 --spp 4 --split "$split" -o "$world"
done
[ -f tests/judge.safetensors ] || runs/judge_knock.sh
.venv/bin/synesthesia evaluate knock --world "$world" --train-world "$train" --judge tests/judge.safetensors \
    --photos "$photos" --model "$model" \
    ${STAGES:+--simulation "$STAGES/simulation" --unlabelled "$STAGES/unlabelled"} -o "$out"
