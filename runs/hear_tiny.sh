#!/bin/sh
# Cost: about ten hours on two CPU cores (packing 2 min, scenes 35, eyes 30, locator 25, outline 30, mapper 65, birds 55, the closer
# look 370, figures 30).
# The recipe of eyes/tiny, locate/tiny and hear/tiny: sh runs/hear_tiny.sh DATA TEACHERS JUDGE [OUT]
#   DATA      holds the files of the starter table (`synesthesia data fetch starter -o DATA`)
#   TEACHERS  holds mobilenet_v2_1.0_224_quant.tflite (Apache-2.0; needs the wheel ai-edge-litert)
#   JUDGE     holds yamnet.tflite and yamnet_class_map.csv (Apache-2.0); measures, teaches nothing
# Every step resumes after a kill.
set -eu
data=$1 teachers=$2 judge=$3 out=${4:-out/hear_tiny}
export OMP_WAIT_POLICY=PASSIVE
synesthesia data pack "$data" --table starter -o "$out/shards"
synesthesia world scenes -n 1280 --seed 1 --split train -o "$out/scenes/train"
synesthesia world scenes -n 128 --seed 2 --split val -o "$out/scenes/val"
synesthesia world scenes -n 640 --seed 90003 --split test -o "$out/scenes/test"
synesthesia train eyes "$data" --teacher "$teachers/mobilenet_v2_1.0_224_quant.tflite" -o "$out/eyes"
synesthesia train hear "$out/shards" --eyes "$out/eyes/final" --scenes "$out/scenes" -o "$out/hear"
synesthesia world scenes -n 2400 --seed 21 --split train -o "$out/scenes/more"
mkdir -p "$out/drawn" && ln -sfn ../scenes/more "$out/drawn/train" && ln -sfn ../scenes/val "$out/drawn/val"
synesthesia train outline "$out/shards" --scenes "$out/drawn" --locator "$out/hear/locator" -o "$out/outline"
synesthesia world birds -n 9000 --seed 11 --split train --seconds 4 -o "$out/birds/train"
synesthesia world birds -n 240 --seed 90020 --split test --seconds 4 -o "$out/birds/test"
synesthesia world birds -n 240 --seed 90020 --split test --seconds 4 --side 448 -o "$out/birds/test_sharp"
synesthesia train sing "$out/shards" --worlds "$out/birds/train" --worlds "$out/scenes/train" --worlds "$out/scenes/more" \
  --hearing "$out/hear/final" -o "$out/sing"
# The eyes go on learning in worlds that they have not met.
synesthesia world scenes -n 1088 --seed 41 --split train -o "$out/scenes/fresh"
synesthesia world birds -n 3200 --seed 31 --split train --seconds 4 -o "$out/birds/fresh"
synesthesia train sing "$out/shards" --worlds "$out/birds/fresh" --worlds "$out/scenes/fresh" \
  --hearing "$out/sing/final" -o "$out/sing_on"
synesthesia world scenes -n 3008 --seed 63 --split train -o "$out/scenes/further"
synesthesia world birds -n 12700 --seed 61 --split train --seconds 4 -o "$out/birds/further"
synesthesia train sing "$out/shards" --worlds "$out/birds/further" --worlds "$out/scenes/further" \
  --hearing "$out/sing_on/final" -o "$out/sing_further"
synesthesia world scenes -n 3008 --seed 73 --split train -o "$out/scenes/horizon"
synesthesia world birds -n 2592 --seed 71 --split train --seconds 4 -o "$out/birds/horizon"
synesthesia train sing "$out/shards" --worlds "$out/birds/horizon" --worlds "$out/scenes/horizon" \
  --hearing "$out/sing_further/final" -o "$out/sing_horizon"
# A bird is told by details of few pixels: pictures of twice the side.
synesthesia world scenes -n 3008 --seed 83 --split train -o "$out/scenes/sharp"
synesthesia world birds -n 6400 --seed 81 --split train --seconds 4 --side 448 -o "$out/birds/sharp"
synesthesia train sing "$out/shards" --worlds "$out/birds/sharp" --worlds "$out/scenes/sharp" \
  --hearing "$out/sing_horizon/final" -o "$out/sing_sharp"
synesthesia evaluate locate "$out/shards" --world "$out/scenes/test" --model "$out/outline/final" -o "$out/locate.json"
synesthesia evaluate hear "$out/shards" --world "$out/scenes/test" --train-world "$out/scenes/train" \
  --clips "$data/clips" --judge "$judge" --model "$out/sing_sharp/final" -o "$out/hear.json"
synesthesia evaluate pairs "$data" --model "$out/sing_sharp/final" -o "$out/pairs.json"
synesthesia evaluate song "$out/birds/test" --train-world "$out/birds/train" --model "$out/sing_sharp/final" -o "$out/song.json"
synesthesia evaluate song "$out/birds/test_sharp" --model "$out/sing_sharp/final" -o "$out/song_sharp.json"
