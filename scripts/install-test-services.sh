#!/bin/sh
# Installs what the tests need and this machine lacks: PostgreSQL, Redis and Prometheus, from the system's packages.
# The tests start private copies of them on free ports; no system service is left running by this script.
# usage: install-test-services.sh [--python]     --python adds a virtual environment with xxhash, for `make vectors`,
#                                            and with standardwebhooks, for the test of signatures
set -eu

say() { echo "install-test-services: $*"; }
die() { echo "install-test-services: $*" >&2; exit 1; }

has_postgres() { command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; }
has_redis() { command -v redis-server >/dev/null 2>&1; }
has_prometheus() { command -v prometheus >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1; then sudo "$@"
    else die "need to be root, or sudo, to run: $*"; fi
}

# Debian's packages start what they install. Where nothing forbids that yet, forbid it while we install.
apt_install() {
    say "installing by apt: $*"
    policy=/usr/sbin/policy-rc.d
    placed=no
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
        as_root chmod +x $policy
        placed=yes
    fi
    log=$(mktemp)
    done_well=yes
    { as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"; } >"$log" 2>&1 || done_well=no
    [ $placed = no ] || as_root rm -f $policy
    if [ $done_well = no ]; then cat "$log" >&2; rm -f "$log"; die "apt could not install: $*"; fi
    rm -f "$log"
}

missing=""
has_postgres || missing="postgresql"
has_redis || missing="$missing redis-server"
has_prometheus || missing="$missing prometheus"
if [ -n "$missing" ]; then
    command -v apt-get >/dev/null 2>&1 || die "this machine has no apt-get; please install: $missing"
    # shellcheck disable=SC2086  # each word is a package
    apt_install $missing
    has_postgres || die "PostgreSQL is installed but initdb is neither on PATH nor in /usr/lib/postgresql"
    has_redis || die "Redis is installed but redis-server is not on PATH"
    has_prometheus || die "Prometheus is installed but prometheus is not on PATH"
    say "done"
fi

if [ "${1:-}" = --python ]; then
    venv=${STORYFLAG_VENV:-$HOME/.cache/storyflag-venv}
    needed='import xxhash, standardwebhooks'
    if ! "$venv/bin/python3" -c "$needed" 2>/dev/null; then
        command -v python3 >/dev/null 2>&1 || apt_install python3 python3-venv
        say "making a virtual environment with xxhash and standardwebhooks in $venv"
        python3 -m venv "$venv" && "$venv/bin/pip" install -q xxhash standardwebhooks
    fi
fi
