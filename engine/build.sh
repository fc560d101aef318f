#!/bin/sh
# Build static/sampler/kernels.wasm, or the file given. The same compiler gives the same bytes: the
# file in the repository is of clang and lld 14 (Debian 12: apt-get install clang lld).
set -eu
cd "$(dirname "$0")"
output=${1:-../static/sampler/kernels.wasm}
object=$(mktemp)
trap 'rm -f "$object"' EXIT
clang --target=wasm32 -O3 -msimd128 -mbulk-memory -std=c17 -Wall -Wextra -Werror \
  -ffreestanding -fvisibility=hidden -c -o "$object" kernels.c
# Not by way of clang, which would run any wasm-opt that it finds.
wasm-ld --no-entry --export-dynamic --export=__heap_base --strip-all -z stack-size=16384 \
  -o "$output" "$object"
chmod 644 "$output"
