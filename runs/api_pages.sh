#!/usr/bin/env bash
# Cost: about a minute. Makes a page for each module of the package from its docstrings; begin at OUT/index.html.
# Usage: runs/api_pages.sh OUT   (after `make test`, with pdoc: .venv/bin/pip install pdoc)
set -euo pipefail
cd "$(dirname "$0")/.."
rooms=(verbs senses spaces metrics media hub shards picture encoders codecs bridges worlds physics acoustics evaluate train app)
.venv/bin/python -m pdoc --docformat google --no-show-source -o "$1" synesthesia "${rooms[@]/#/synesthesia.}"
