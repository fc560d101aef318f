#!/bin/sh
# Makes sure that the tests find a browser and ffprobe: installs them where it runs as root on
# Debian, and otherwise says in one line what is missing.
set -eu

packages=
command -v chromium >/dev/null || packages="$packages chromium fonts-dejavu-core"
command -v ffprobe >/dev/null || packages="$packages ffmpeg"
if [ -z "$packages" ]; then
    exit 0
fi

if [ "$(id -u)" != 0 ] || [ ! -e /etc/debian_version ]; then
    echo "The tests need chromium and ffprobe; missing here (as Debian packages):$packages" >&2
    exit 1
fi
echo "Installing$packages for the tests."
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
# shellcheck disable=SC2086 # a list of packages
apt-get -qq install --yes --no-install-recommends $packages >/dev/null
