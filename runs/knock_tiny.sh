#!/bin/sh
# Cost: about two and a half hours on two CPU cores (world 45 min, eyes 15, adapter 30, photos 12, what is read straight 5, codebook 5; docs/log.md has what was measured); not yet run on a GPU.
# The recipe of knock/tiny: sh runs/knock_tiny.sh DATA TEACHERS [OUT]
#   DATA      holds photos/materials/<material>/*.jpg (MIT; the train blocks are paired with sounds of their material)
#   TEACHERS  holds mobilenet_v2_1.0_224_quant.tflite (Apache-2.0; needs the wheel ai-edge-litert)
# Every step resumes after a kill.
set -eu
data=$1 teachers=$2 out=${3:-out/knock_tiny}
synesthesia world knock -n 7800 --seed 1 --width 128 --spp 4 --split train -o "$out/world"
synesthesia world knock -n 180 --seed 1 --width 128 --spp 4 --split val -o "$out/validation"
synesthesia train knock --world "$out/world" --validation "$out/validation" -o "$out/model" \
    --photos "$data/photos/materials" --teacher "$teachers/mobilenet_v2_1.0_224_quant.tflite"
