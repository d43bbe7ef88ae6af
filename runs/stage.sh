#!/usr/bin/env bash
# Cost: seconds. Puts a folder together that a Docker Space of Hugging Face or a studio of ModelScope runs as it is.
# Usage: runs/stage.sh OUT   (then push OUT to the Space's repository; build argument TORCH_INDEX: PyTorch's CPU builds)
set -euo pipefail
cd "$(dirname "$0")/.."
out=$1
test ! -e "$out" || { echo "$out is there already; give the name of a folder that is not." >&2; exit 2; }
mkdir -p "$(dirname "$out")"
part=$(mktemp -d "$(dirname "$out")/.stage-XXXXXX")
git archive HEAD pyproject.toml constraints.txt LICENSE synesthesia | tar -x -C "$part"
cp stage/Dockerfile stage/README.md "$part"
mv "$part" "$out"
echo "$out"
