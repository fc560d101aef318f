#!/bin/sh
# Builds wheel and source archive into dist/, installs the wheel into a bare environment of Python
# (PYTHON, or python3), and builds the starter there, far from the checkout.
set -eu

python=${PYTHON:-python3}
here=$(pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"$python" -m venv "$scratch/make"
"$scratch/make/bin/python" -m pip install --quiet 'hatchling>=1.28'
rm -rf dist
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)} "$scratch/make/bin/python" -m hatchling build -d "$here/dist"

"$python" -m venv "$scratch/bare"
"$scratch/bare/bin/python" -m pip install --quiet "$here"/dist/*.whl
cd "$scratch"
bare/bin/sitegen new paper
bare/bin/sitegen build --config paper/site.toml
bare/bin/sitegen check --config paper/site.toml
test -s paper/build/index.html
