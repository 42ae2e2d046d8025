# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What the scripts in this folder share; they source it. It takes them to the top of the repository.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Debian's and Ubuntu's names.
packages_to_build=(g++ meson ninja-build pkg-config liburing-dev libexpected-dev libcli11-dev libfmt-dev
    libsimdjson-dev)

say() { printf '== %s\n' "$*"; }

processors() { nproc 2>/dev/null || echo 1; }

# Installs those of the named packages that are missing. Without the right to, says what to do and ends.
install_packages() {
    local package missing=() as_root=()
    if ! command -v dpkg-query >/dev/null; then
        say "not a Debian: what these packages contain has to be here already: $*"
        return
    fi
    for package in "$@"; do
        if [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) != installed ]]; then
            missing+=("$package")
        fi
    done
    if ((${#missing[@]} == 0)); then return; fi

    local command=(apt-get install -y --no-install-recommends "${missing[@]}")
    if (($(id -u) != 0)); then
        as_root=(sudo)
        # Where nobody can type a password, sudo must not ask for one.
        if [[ ! -t 0 ]]; then as_root=(sudo -n); fi
        if ! command -v sudo >/dev/null || ! "${as_root[@]}" true; then
            printf 'Missing packages: %s\nInstall them as root, then run this again:\n\n    apt-get update && %s\n\n' \
                "${missing[*]}" "${command[*]}" >&2
            exit 1
        fi
    fi
    say "installing ${missing[*]}"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "${command[@]}" </dev/null >/dev/null
}

# configure DIRECTORY OPTION...: a build folder with these options. One that Meson can't bring up to date is made anew.
configure() {
    local directory=$1
    shift
    if [[ -f $directory/build.ninja ]] && meson setup --reconfigure --wrap-mode=nofallback "$directory" "$@"; then
        return
    fi
    rm -rf -- "$directory"
    meson setup --wrap-mode=nofallback "$directory" "$@"
}
