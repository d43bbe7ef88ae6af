#!/bin/sh
# Cost: twice MINUTES on one core (120 by default; 55 were run: 5,602 steps of .6 s and 493 of 5 s) and 25 minutes for the table.
# The recipe of the voice `neural`, and of its control, EnCodec's default configuration on the same data for the same time
# (needs the extra `hub`): sh runs/voice_neural.sh DATA JUDGE LYRA [OUT] [MINUTES]
#   DATA   holds the files of the starter table (`synesthesia data fetch starter -o DATA`)
#   JUDGE  holds yamnet.tflite and yamnet_class_map.csv (Apache-2.0; measures, teaches nothing)
#   LYRA   holds soundstream_encoder.tflite, quantizer.tflite, lyragan.tflite of google/lyra at 47698da (Apache-2.0)
# Every step resumes after a kill.
set -eu
data=$1 judge=$2 lyra=$3 out=${4:-out/voice_neural} minutes=${5:-120}
export OMP_WAIT_POLICY=PASSIVE
synesthesia data pack "$data" --table starter -o "$out/shards"
synesthesia train voice "$out/shards" --minutes "$minutes" -o "$out/neural"
synesthesia train voice "$out/shards" --minutes "$minutes" --control -o "$out/control"
python runs/voice_bands.py "$data" "$judge" "$out/ceilings" "soundstream=$lyra" "neural=$out/neural/final" \
    "control=$out/control/final"
