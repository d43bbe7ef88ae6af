#!/usr/bin/env bash
# Cost: about four hours and a half on two cores: worlds 70 minutes, listening 40, codec 20, bridge 140. Makes see/tiny.
# Usage: runs/see_tiny.sh SHARDS OUT EYES   (SHARDS: what `synesthesia data pack` made; EYES: an int8 MobileNetV2 as
# .tflite that taught nothing, for the judges)
set -euo pipefail
shards=$1 out=$2 eyes=$3
mkdir -p "$out/worlds"
make_world() { # folder, then the arguments of `synesthesia world`
    folder=$out/worlds/$1
    shift
    test -f "$folder/world.json" || synesthesia world "$@" -o "$folder"
}
make_world birds birds -n 12000 --seed 11 --split train --seconds 4
make_world birds-judge birds -n 1200 --seed 77 --split val --seconds 4
make_world birds-test birds -n 240 --seed 90020 --split test --seconds 4
make_world scenes scenes -n 1280 --seed 1 --split train
make_world knock knock -n 6540 --seed 1 --split train --width 128 --spp 4
make_world knock-judge knock -n 600 --seed 1 --split val --width 128 --spp 4
make_world knock-test knock -n 240 --seed 90001 --split objects --width 128 --spp 12
synesthesia train see "$shards" --locator locate/tiny -o "$out/run" \
    --worlds "$out/worlds/birds" --worlds "$out/worlds/scenes" --worlds "$out/worlds/knock"
synesthesia evaluate see "$shards" --model "$out/run/final" -o "$out/see.json" --pictures "$out/pictures" --hearing hear/tiny \
    --eyes "$eyes" \
    --birds "$out/worlds/birds" "$out/worlds/birds-judge" "$out/worlds/birds-test" \
    --strikes "$out/worlds/knock" "$out/worlds/knock-judge" "$out/worlds/knock-test"
