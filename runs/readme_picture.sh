#!/bin/sh
# Cost: seconds. Draws docs/knock.png, the picture of the README, with the weights that ship.
set -eu
cd "$(dirname "$0")/.."
.venv/bin/synesthesia demo -o out
cp out/knock.png docs/knock.png
