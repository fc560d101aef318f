#!/bin/sh
# Makes .venv with the first Python that is new enough, or says in one line what is missing.
set -eu

new_enough='import sys; sys.exit(sys.version_info < (3, 11))'

if .venv/bin/python -c "$new_enough" 2>/dev/null; then
    exit 0
fi

candidates="python3 python3.14 python3.13 python3.12 python3.11"
lacks_venv=
for candidate in ${PYTHON:+"$PYTHON"} $candidates; do
    if "$candidate" -c "$new_enough" 2>/dev/null; then
        if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            exec "$candidate" -m venv --clear .venv
        fi
        lacks_venv=${lacks_venv:-$candidate}
    fi
done

if [ -n "$lacks_venv" ]; then
    echo "$lacks_venv cannot make a virtual environment; on Debian, install python3-venv." >&2
else
    echo "sitegen needs Python 3.11 or newer; install it, or say PYTHON=/path/to/python3." >&2
fi
exit 1
