#!/usr/bin/env bash
# Run a command in a fresh clone of this repository's last commit on a bare Debian, which has git, make
# and Debian's Python and nothing else, so that a missing install step shows. The folder is removed at
# the end. It needs root and mmdebstrap, which it installs, on Debian.
#
#     scripts/bare.sh "make site && make test"
#     scripts/bare.sh --user "make site"     as an ordinary user
#     scripts/bare.sh --keep FOLDER …        keep the system there and use it again
#     scripts/bare.sh --check                only report why this machine cannot, or nothing
#
# Exit status 3: there is no bare Debian here, and the last line says why. Else it is the command's.
set -euo pipefail

account=root keep='' only_check=
while [[ ${1:-} == --* ]]; do
  case $1 in
    --user) account=ann ;;
    --keep) keep=$2; shift ;;
    --check) only_check=1 ;;
    *) echo "bare.sh has no option $1" >&2; exit 2 ;;
  esac
  shift
done

fail() { echo "$1"; exit 3; }
[[ $(id -u) == 0 ]] || fail "it needs root"
[[ -e /etc/debian_version ]] || fail "it needs Debian"
if ! command -v mmdebstrap >/dev/null; then
  { apt-get -qq update && apt-get -qq install --yes --no-install-recommends mmdebstrap; } >/dev/null 2>&1 ||
    fail "mmdebstrap cannot be installed"
fi
unshare --mount true 2>/dev/null || fail "it may not mount"
[[ -z $only_check ]] || exit 0

system=${keep:-$(mktemp -d /var/tmp/bare.XXXXXX)}
[[ -n $keep ]] || trap 'rm -rf --one-file-system "$system"' EXIT

if [[ ! -x $system/usr/bin/git ]]; then
  # Sources, certificates and client settings of this machine, which may have mirrors of its own.
  settings=()
  for file in /etc/apt/apt.conf.d/99*; do [[ ! -e $file ]] || settings+=("--aptopt=$file"); done
  suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
  sources=/etc/apt/sources.list.d/debian.sources
  [[ -e $sources ]] || sources=/etc/apt/sources.list
  # Nothing there has to survive a power cut, so dpkg need not wait for the disk.
  mmdebstrap --quiet --variant=minbase --mode=root --dpkgopt=force-unsafe-io "${settings[@]}" \
    --include=git,make,python3,python3-venv,ca-certificates,passwd "$suite" "$system" "$sources" ||
    fail "mmdebstrap failed"
  cp /etc/resolv.conf /etc/hosts "$system/etc/"
  cp -a /etc/ssl/certs/. "$system/etc/ssl/certs/"
  for path in /etc/apt/apt.conf.d/99* /etc/apt/auth.conf.d; do
    [[ ! -e $path ]] || cp -a "$path" "$system$(dirname "$path")/"
  done
  chmod 755 "$system"
  chroot "$system" useradd --create-home ann
  # A folder of wheels does not exist there.
  for home in root home/ann; do
    for file in .config/pip/pip.conf .npmrc; do
      if [[ -f $HOME/$file ]]; then
        mkdir -p "$system/$home/$(dirname $file)"
        sed /find-links/d "$HOME/$file" >"$system/$home/$file"
      fi
    done
  done
  [[ ! -f /etc/pip.conf ]] || sed /find-links/d /etc/pip.conf >"$system/etc/pip.conf"
fi

clone=/srv/sitegen
rm -rf "${system:?}$clone"
git clone --quiet "$(git rev-parse --show-toplevel)" "$system$clone"
chroot "$system" chown -R "$account:" "$clone"
home=$(chroot "$system" sh -c "echo ~$account")
mapfile -t variables < <(env | grep -E '^(CI|PIP_|npm_|NPM_|NODE_|SSL_|REQUESTS_|CURL_)' | grep -v FIND_LINKS)

# The mounts end with the namespace, and no process outlives the command.
unshare --mount --pid --fork --kill-child bash -c '
  system=$1 account=$2; shift 2
  mount -t proc proc "$system/proc"
  mount --rbind /sys "$system/sys"
  mount --rbind /dev "$system/dev"
  mount -t tmpfs tmpfs "$system/tmp"
  exec chroot --userspec="$account:$account" "$system" env -i "$@"
' - "$system" "$account" HOME="$home" LANG=C.UTF-8 "${variables[@]}" \
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  bash -c "cd $clone && $*"
