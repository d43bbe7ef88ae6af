#!/bin/sh
# Cost: about three hours on two CPU cores, estimated from shorter runs (worlds 50 min, eyes 20, adapter 100, codebook 10); not yet run on a GPU.
# The recipe of knock/tiny. The first weights that ship were cut short and took detours (docs/log.md, 2026-11-22), so this
# does not remake them to the byte; the next ones come from here: sh runs/knock_tiny.sh DATA TEACHERS [OUT]
#   DATA      holds photos/materials/<material>/*.jpg (MIT; the train blocks are paired with sounds of their material)
#   TEACHERS  holds mobilenet_v2_1.0_224_quant.tflite (Apache-2.0; needs the wheel ai-edge-litert)
# Every step resumes after a kill.
set -eu
data=$1 teachers=$2 out=${3:-out/knock_tiny}
synesthesia world knock -n 3000 --seed 1 --split train -o "$out/world"
synesthesia world knock -n 120 --seed 1 --split val -o "$out/validation"
synesthesia train knock --world "$out/world" --validation "$out/validation" -o "$out/model" \
    --photos "$data/photos/materials" --teacher "$teachers/mobilenet_v2_1.0_224_quant.tflite"
