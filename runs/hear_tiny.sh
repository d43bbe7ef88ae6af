#!/bin/sh
# Cost: not yet run whole; by its parts about three hours on two CPU cores (packing 2 min, eyes 35, locator 20, mapper 60, figures 15).
# The recipe of eyes/tiny, locate/tiny and hear/tiny: sh runs/hear_tiny.sh DATA TEACHERS JUDGE [OUT]
#   DATA      holds the files of the starter table (`synesthesia data fetch starter -o DATA`)
#   TEACHERS  holds mobilenet_v2_1.0_224_quant.tflite (Apache-2.0; needs the wheel ai-edge-litert)
#   JUDGE     holds yamnet.tflite and yamnet_class_map.csv (Apache-2.0); measures, teaches nothing
# Every step resumes after a kill.
set -eu
data=$1 teachers=$2 judge=$3 out=${4:-out/hear_tiny}
export OMP_WAIT_POLICY=PASSIVE
synesthesia data pack "$data" --table starter -o "$out/shards"
synesthesia train eyes "$data" --teacher "$teachers/mobilenet_v2_1.0_224_quant.tflite" -o "$out/eyes"
synesthesia train hear "$out/shards" --eyes "$out/eyes/final" -o "$out/hear"
synesthesia evaluate locate "$out/shards" --model "$out/hear/locator" -o "$out/locate.json"
synesthesia evaluate hear "$out/shards" --judge "$judge" --model "$out/hear/final" -o "$out/hear.json"
