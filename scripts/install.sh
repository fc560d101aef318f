#!/bin/sh
# Install sitegen, editable, into .venv, with uv where it is there and else with pip. On Linux without
# an NVIDIA GPU, take PyTorch's build for processors, which saves about 4 GB, where its index answers.
# TORCH_INDEX is that index; NVIDIA_DRIVER is the file that a system with NVIDIA's driver has, and
# wsl_driver the same in Windows' Linux.
set -eu

python=.venv/bin/python
index=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}
driver=${NVIDIA_DRIVER:-/proc/driver/nvidia/version}
wsl_driver=/usr/lib/wsl/lib/libcuda.so.1

needs_cuda() {
    [ "$(uname -s)" != Linux ] || [ -e "$driver" ] || [ -e "$wsl_driver" ]
}

answers() {
    timeout 5 "$python" -c 'import sys, urllib.request as r; r.urlopen(sys.argv[1]).read(1)' \
        "$index/torch/" 2>/dev/null
}

extra=
if ! needs_cuda; then
    if answers; then
        extra=$index
    else
        echo "$index does not answer, so PyTorch may come with CUDA (3 GB more to fetch)." \
            "To avoid that, set PIP_FIND_LINKS (for uv UV_FIND_LINKS) to a folder with PyTorch's" \
            "wheel for processors." >&2
    fi
fi

if command -v uv >/dev/null; then
    exec uv pip install --python "$python" \
        ${extra:+--extra-index-url "$extra" --index-strategy unsafe-best-match} --editable .
fi
"$python" -m pip install --quiet --upgrade 'pip>=25.1'
exec "$python" -m pip install ${extra:+--extra-index-url "$extra"} --editable .
