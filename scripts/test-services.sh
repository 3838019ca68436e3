#!/bin/sh
# Private copies of PostgreSQL, Redis and Prometheus for tests: own folder, own free port, nothing durable, gone afterwards.
#
#   test-services.sh run COMMAND...       PostgreSQL and Redis, told to COMMAND in STORYFLAG_TEST_POSTGRES and
#                                         STORYFLAG_TEST_REDIS; stopped when COMMAND ends, however it ends
#   test-services.sh start KIND DIR       prints the address; started again in the same DIR it has the same port and content.
#                                         KIND is postgres, redis or prometheus; Prometheus scrapes what DIR/prometheus.yml
#                                         says, which each test that wants one writes for itself
#   test-services.sh stop KIND DIR        stops at once, as a crash would
set -eu

die() { echo "test-services: $*" >&2; exit 1; }

# PostgreSQL refuses to run as root: then it runs as `postgres`, which its package made, or as nobody.
unprivileged() {
    if [ "$(id -u)" != 0 ]; then "$@"; return; fi
    user=postgres
    id $user >/dev/null 2>&1 || user=nobody
    runuser -u $user -- "$@"
}

postgres_binaries() {
    if ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
        dirname "$(ls /usr/lib/postgresql/*/bin/initdb | sort -V | tail -1)"
    elif command -v initdb >/dev/null 2>&1; then
        dirname "$(command -v initdb)"
    else
        die "PostgreSQL is missing: run scripts/install-test-services.sh"
    fi
}

# Below the range that Linux hands out by itself, so that no client socket takes a port between a stop and a start.
random_port() { awk "BEGIN { srand($(od -An -N4 -tu4 /dev/urandom)); print 16000 + int(rand() * 16000) }"; }

# try_ports DIR START: a free port is one on which the service starts; a second start keeps the first's port.
try_ports() {
    dir=$1
    shift
    if [ -f "$dir/port" ]; then "$@" "$(cat "$dir/port")" || die "did not start again: $(tail -5 "$dir/log")"; return; fi
    for _ in 1 2 3 4 5 6 7 8; do
        port=$(random_port)
        if "$@" "$port"; then echo "$port" >"$dir/port"; return; fi
    done
    die "did not start: $(tail -5 "$dir/log" 2>/dev/null)"
}

start_postgres() {
    bin=$(postgres_binaries)
    dir=$1
    mkdir -p "$dir"
    if [ ! -d "$dir/data" ]; then
        [ "$(id -u)" != 0 ] || chown "$(unprivileged id -u)" "$dir"
        (cd "$dir" && unprivileged "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C --no-sync) >"$dir.initdb" 2>&1 ||
            die "initdb failed: $(cat "$dir.initdb")"
        rm -f "$dir.initdb"
        # Nothing is flushed to the disk: these tests crash programs, not machines. A commit is still handed to the
        # kernel before it is acknowledged (synchronous_commit), so `stop` loses none.
        cat >>"$dir/data/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = off
full_page_writes = off
max_connections = 400
shared_buffers = 64MB
CONF
    fi
    try_ports "$dir" postgres_on "$bin" "$dir"
    echo "postgres://postgres@127.0.0.1:$(cat "$dir/port")/postgres"
}

postgres_on() {
    (cd "$2" && unprivileged "$1/pg_ctl" -D "$2/data" -l "$2/log" -o "-p $3" -w -s start) >/dev/null 2>&1
}

stop_postgres() {
    [ -f "$1/data/postmaster.pid" ] || return 0
    (cd "$1" && unprivileged "$(postgres_binaries)/pg_ctl" -D "$1/data" -m immediate -w -s stop) >/dev/null 2>&1 || true
}

start_redis() {
    command -v redis-server >/dev/null 2>&1 || die "Redis is missing: run scripts/install-test-services.sh"
    mkdir -p "$1"
    try_ports "$1" redis_on "$1"
    echo "redis://127.0.0.1:$(cat "$1/port")"
}

redis_on() {
    redis-server --bind 127.0.0.1 --port "$2" --dir "$1" --save '' --appendonly no --daemonize yes \
        --logfile "$1/log" --pidfile "$1/pid" --maxclients 4000 >/dev/null 2>&1 || return 1
    for _ in $(seq 100); do
        [ "$(redis-cli -p "$2" ping 2>/dev/null)" != PONG ] || [ ! -s "$1/pid" ] || return 0
        # A port that is taken ends the daemon, which says so in its log.
        if grep -q 'Failed listening' "$1/log" 2>/dev/null; then rm -f "$1/log"; return 1; fi
        sleep 0.05
    done
    return 1
}

start_prometheus() {
    command -v prometheus >/dev/null 2>&1 || die "Prometheus is missing: run scripts/install-test-services.sh"
    mkdir -p "$1"
    [ -f "$1/prometheus.yml" ] || : >"$1/prometheus.yml"
    try_ports "$1" prometheus_on "$1"
    echo "http://127.0.0.1:$(cat "$1/port")"
}

prometheus_on() {
    : >"$1/log"
    prometheus --config.file="$1/prometheus.yml" --storage.tsdb.path="$1/data" --web.listen-address="127.0.0.1:$2" \
        </dev/null >>"$1/log" 2>&1 &
    echo $! >"$1/pid"
    for _ in $(seq 400); do
        ! grep -q 'Server is ready' "$1/log" || return 0
        # A port that is taken ends it.
        if ! kill -0 "$(cat "$1/pid")" 2>/dev/null; then rm -f "$1/pid"; return 1; fi
        sleep 0.05
    done
    stop_by_pid "$1"
    return 1
}

stop_prometheus() { stop_by_pid "$1"; }

stop_redis() { stop_by_pid "$1"; }

stop_by_pid() {
    [ -s "$1/pid" ] || return 0
    pid=$(cat "$1/pid")
    kill -9 "$pid" 2>/dev/null || true
    rm -f "$1/pid"
    while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
}

run() {
    root=$(mktemp -d "${TMPDIR:-/tmp}/storyflag-test-XXXXXX")
    chmod 755 "$root"
    trap 'stop_postgres "$root/postgres"; stop_redis "$root/redis"; rm -rf "$root"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    STORYFLAG_TEST_POSTGRES=$(start_postgres "$root/postgres")
    STORYFLAG_TEST_REDIS=$(start_redis "$root/redis")
    export STORYFLAG_TEST_POSTGRES STORYFLAG_TEST_REDIS
    "$@"
}

case "${1:-}" in
run) shift; run "$@" ;;
start) "start_$2" "$3" ;;
stop) "stop_$2" "$3" ;;
*) die "usage: test-services.sh run COMMAND... | start|stop postgres|redis|prometheus DIR" ;;
esac
