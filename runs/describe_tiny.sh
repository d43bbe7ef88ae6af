#!/bin/sh
# Cost: about 15 minutes on one CPU core (looking and listening 5, training 6, figures 3).
# The recipe of describe/tiny: sh runs/describe_tiny.sh SHARDS SCENES [OUT] [LOCATOR]
#   SHARDS   `synesthesia data pack DATA --table starter -o SHARDS`
#   SCENES   train/ and test/ of `synesthesia world scenes`, as runs/hear_tiny.sh makes them
#   LOCATOR  whose pictures and sounds it has words for; when that is trained anew, so must this be
# Training resumes after a kill.
set -eu
shards=$1 scenes=$2 out=${3:-out/describe_tiny} locator=${4:-locate/tiny}
export OMP_WAIT_POLICY=PASSIVE
synesthesia train text "$shards" --scenes "$scenes" --locator "$locator" -o "$out"
synesthesia evaluate describe "$shards" --world "$scenes/test" --model "$out/final" --locator "$locator" \
    -o "$out/describe.json"
