#!/bin/sh
# Makes sure that the tests find browsers, ffprobe, strace and the checkers of pages: installs Debian's
# packages where it runs as root, and otherwise says in one line what is missing. Without a compiler
# of the engine's version one test is skipped, without WebKitGTK one of `make faults`, and without
# Chromium's headless shell the tests take longer: these are installed where Debian has them, and not
# required.
set -eu

packages=
command -v chromium >/dev/null || packages="$packages chromium fonts-dejavu-core"
command -v firefox-esr >/dev/null || packages="$packages firefox-esr"
command -v ffprobe >/dev/null || packages="$packages ffmpeg"
command -v strace >/dev/null || packages="$packages strace"
command -v node >/dev/null || packages="$packages nodejs"
command -v npm >/dev/null || packages="$packages npm"
wished=
command -v clang-19 >/dev/null && command -v wasm-ld-19 >/dev/null || wished="clang-19 lld-19"
command -v chromium-headless-shell >/dev/null || wished="$wished chromium-headless-shell"
command -v WebKitWebDriver >/dev/null && command -v xvfb-run >/dev/null ||
    wished="$wished webkit2gtk-driver xvfb xauth"
if [ "$(id -u)" != 0 ] || [ ! -e /etc/debian_version ]; then
    if [ -n "$packages" ]; then
        echo "The tests need chromium, firefox-esr, ffprobe, strace, node and npm; missing here (as Debian packages):$packages" >&2
        exit 1
    fi
elif [ -n "$packages$wished" ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update
    for each in $wished; do
        if apt-cache show "$each" >/dev/null 2>&1; then
            packages="$packages $each"
        fi
    done
    if [ -n "$packages" ]; then
        echo "Installing$packages for the tests."
        # shellcheck disable=SC2086
        apt-get -qq install --yes --no-install-recommends $packages >/dev/null
    fi
fi

# axe-core and html-validate, at the versions of the lockfile.
cd tests/npm
if ! cmp -s package-lock.json node_modules/.installed; then
    echo "Installing axe-core and html-validate for the tests, once."
    npm ci --silent --no-audit --no-fund --ignore-scripts
    cp package-lock.json node_modules/.installed
fi
