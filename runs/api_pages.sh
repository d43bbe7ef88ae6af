#!/usr/bin/env bash
# Cost: about a minute. Makes a page for each module of the package from its docstrings, into OUT/index.html.
# Usage: runs/api_pages.sh OUT   (after `make test`, with pdoc: .venv/bin/pip install pdoc)
set -euo pipefail
cd "$(dirname "$0")/.."
.venv/bin/python -m pdoc --docformat google --no-show-source -o "$1" synesthesia \
    '!synesthesia.evaluate' '!synesthesia.train' '!synesthesia.bridges.pretrained_drawing'
