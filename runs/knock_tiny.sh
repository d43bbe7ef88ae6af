#!/bin/sh
# Cost: some nine hours on two CPU cores (worlds 4, first model 2, learning on three times 3), added up from parts; less where
# the processor multiplies bfloat16 (learning on 2). Not yet run whole, nor on a GPU.
# The recipe of knock/tiny: sh runs/knock_tiny.sh DATA TEACHERS [OUT]
#   DATA      holds photos/materials/<material>/*.jpg (MIT; the train blocks are paired with sounds of their material)
#   TEACHERS  holds mobilenet_v2_1.0_224_quant.tflite (Apache-2.0; needs the wheel ai-edge-litert)
# A model learns in one world, and on in others that it has not met, in the last of which more things have a coat. Every step
# resumes after a kill.
set -eu
data=$1 teachers=$2 out=${3:-out/knock_tiny}
photos=$data/photos/materials teacher=$teachers/mobilenet_v2_1.0_224_quant.tflite
synesthesia world knock -n 7800 --seed 1 --width 192 --spp 2 --split train -o "$out/world"
synesthesia world knock -n 3960 --seed 5 --width 192 --spp 2 --split train -o "$out/second"
synesthesia world knock -n 4800 --seed 9 --width 192 --spp 2 --split train -o "$out/third"
synesthesia world knock -n 4800 --seed 13 --width 192 --spp 2 --split train --coated 0.6 -o "$out/fourth"
synesthesia world knock -n 180 --seed 1 --width 192 --spp 4 --split val -o "$out/validation"
teach() { # WORLD MODEL [more]
    world=$1 model=$2
    shift 2
    synesthesia train knock "$@" --world "$out/$world" --validation "$out/validation" -o "$out/$model" \
        --photos "$photos" --teacher "$teacher"
}
teach world first
teach second on --start "$out/first/final"
teach third further --start "$out/on/final"
teach fourth model --start "$out/further/final"
