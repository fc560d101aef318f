#!/bin/sh
# Install what the tests need besides Python: Debian's packages where this runs as root on Debian, and
# axe-core and html-validate from npm. Otherwise name in one line what is missing; tests that need it
# are skipped with that reason.
set -eu

packages=
command -v chromium >/dev/null || packages="$packages chromium fonts-dejavu-core"
command -v firefox-esr >/dev/null || packages="$packages firefox-esr"
command -v ffprobe >/dev/null || packages="$packages ffmpeg"
command -v strace >/dev/null || packages="$packages strace"
command -v node >/dev/null || packages="$packages nodejs"
command -v npm >/dev/null || packages="$packages npm"

# Optional: the headless shell is quicker than Chromium, and gstreamer1.0-libav decodes WebKit's H.264.
optional=
command -v clang-19 >/dev/null && command -v wasm-ld-19 >/dev/null || optional="clang-19 lld-19"
command -v chromium-headless-shell >/dev/null || optional="$optional chromium-headless-shell"
command -v WebKitWebDriver >/dev/null && command -v xvfb-run >/dev/null ||
    optional="$optional webkit2gtk-driver xvfb xauth"
ls /usr/lib/*/gstreamer-1.0/libgstlibav.so >/dev/null 2>&1 || optional="$optional gstreamer1.0-libav"

if [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ]; then
    if [ -n "$packages$optional" ]; then
        export DEBIAN_FRONTEND=noninteractive
        apt-get -qq update
        for package in $optional; do
            if apt-get -qq --simulate install "$package" >/dev/null 2>&1; then
                packages="$packages $package"
            fi
        done
        echo "Installing$packages for the tests."
        # shellcheck disable=SC2086
        apt-get -qq install --yes --no-install-recommends $packages >/dev/null
    fi
elif [ -n "$packages" ]; then
    echo "Tests that need these Debian packages are skipped; install them to run all tests:$packages"
fi

cd tests/npm
if command -v npm >/dev/null && ! cmp -s package-lock.json node_modules/.installed; then
    echo "Installing axe-core and html-validate for the tests, once."
    if npm ci --silent --no-audit --no-fund --ignore-scripts; then
        cp package-lock.json node_modules/.installed
    elif [ -n "${CI:-}" ]; then
        exit 1
    else
        echo "npm could not install them; tests that need them are skipped."
    fi
fi
