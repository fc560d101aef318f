#!/bin/sh
# Build static/sampler/kernels.wasm, or the file given. The same compiler gives the same bytes: the
# file in the repository is of clang and lld 19 (Debian 13: clang-19 and lld-19).
set -eu
cd "$(dirname "$0")"
output=${1:-../static/sampler/kernels.wasm}
object=$(mktemp)
trap 'rm -f "$object"' EXIT
clang=$(command -v clang-19 || command -v clang)
linker=$(command -v wasm-ld-19 || command -v wasm-ld)
"$clang" --target=wasm32 -O3 -msimd128 -mbulk-memory -std=c17 -Wall -Wextra -Werror \
  -ffreestanding -fvisibility=hidden -c -o "$object" kernels.c
# Not by way of clang, which would run any wasm-opt that it finds.
"$linker" --no-entry --export-dynamic --export=__heap_base --strip-all -z stack-size=16384 \
  -o "$output" "$object"
chmod 644 "$output"
