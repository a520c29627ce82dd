#!/bin/sh
# Compares the contract with the newest release tag (or, before the first release, with the parent commit).
set -eu
base=$(git describe --tags --abbrev=0 2>/dev/null || git rev-parse --verify --quiet HEAD~1 || true)
if [ -z "$base" ] || ! git cat-file -e "$base:buf.yaml" 2>/dev/null; then
    echo "no earlier contract to compare with"
    exit 0
fi
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
git archive "$base" buf.yaml proto | tar -x -C "$top"
buf breaking --against "$top"
