#!/usr/bin/env bash
# Cost: about four minutes on two cores. Makes a gallery of twelve pages that play without Python, and its index.
# Usage: runs/gallery.sh OUT   (put OUT/gallery on any static host, or open OUT/gallery/index.html from a disk)
set -euo pipefail
out=$1
photos=$out/photos
mkdir -p "$photos"
test -f "$out/world/world.json" || synesthesia world scenes -n 8 --seed 2026 --split test -o "$out/world"
number=0
for shard in "$out"/world/*.tar; do
    for picture in $(tar -tf "$shard" | grep '\.jpg$' | sort); do
        number=$((number + 1))
        tar -xOf "$shard" "$picture" > "$photos/place-$number.jpg"
    done
done
demo=$(python -c 'import pathlib, synesthesia; print(pathlib.Path(synesthesia.__file__).parent / "demo")')
cp "$demo"/*.jpg "$photos"
synesthesia export "$photos" -o "$out/gallery"
