#!/bin/sh
# Cost: some six hours on two CPU cores (worlds 2, first model 2, learning on 2), added up from parts: not yet run whole, nor on a GPU.
# The recipe of knock/tiny: sh runs/knock_tiny.sh DATA TEACHERS [OUT]
#   DATA      holds photos/materials/<material>/*.jpg (MIT; the train blocks are paired with sounds of their material)
#   TEACHERS  holds mobilenet_v2_1.0_224_quant.tflite (Apache-2.0; needs the wheel ai-edge-litert)
# A model learns in one world, and on in another that it has not met. Every step resumes after a kill.
set -eu
data=$1 teachers=$2 out=${3:-out/knock_tiny}
photos=$data/photos/materials teacher=$teachers/mobilenet_v2_1.0_224_quant.tflite
synesthesia world knock -n 7800 --seed 1 --width 192 --spp 2 --split train -o "$out/world"
synesthesia world knock -n 3960 --seed 5 --width 192 --spp 2 --split train -o "$out/another"
synesthesia world knock -n 180 --seed 1 --width 192 --spp 4 --split val -o "$out/validation"
synesthesia train knock --world "$out/world" --validation "$out/validation" -o "$out/first" \
    --photos "$photos" --teacher "$teacher"
synesthesia train knock --start "$out/first/final" --world "$out/another" --validation "$out/validation" \
    -o "$out/model" --photos "$photos" --teacher "$teacher"
