# A download that takes some seconds, and what disturbs it meanwhile.
# shellcheck shell=bash disable=SC2034,SC2154

# Undisturbed it takes five seconds.
download_max_ms=15000

# download_start PORT [PAGE [OPTION...]]: 50 MB from the VIP; the server sends the page /slow at 10 MB a second.
download_start() {
    local port=$1 page=${2:-/slow}
    rm -f "$run/download"
    spawn download client "$run/download.log" curl --silent --show-error --noproxy '*' \
        --max-time 60 --output "$run/download" "${@:3}" "http://${vip%:*}:$port$page"
    eventually 5 download_has 1000000
}

download_size() { stat -c %s "$run/download" 2>/dev/null || echo 0; }

download_has() { (($(download_size) >= $1)); }

# The longest time without a byte from now to the end, in milliseconds.
longest_stall() {
    local size=-1 before=-1 since worst=0 now
    since=$(now_ms)
    while pid_of download >/dev/null; do
        before=$size
        size=$(download_size)
        now=$(now_ms)
        ((now - since <= worst)) || worst=$((now - since))
        ((size == before)) || since=$now
        sleep 0.01
    done
    printf '%s\n' "$worst"
}

# survives HOST PORT BOUND-MS CHANGE...: the download is whole although the change happened on its
# way, and stood still for less than the bound.
survives() {
    local host=$1 port=$2 bound=$3 stall started took
    shift 3
    started=$(now_ms)
    download_start "$port"
    "$@" &
    stall=$(longest_stall)
    took=$(($(now_ms) - started))
    wait $!
    cat "$run/download.log"
    measured "longest stall $stall ms, the whole took $took ms"
    less "milliseconds of the whole" "$download_max_ms" "$took"
    same "bytes" "$big_bytes" "$(download_size)"
    cmp "$run/download" "$run/$host/big"
    less "milliseconds of the longest stall" "$bound" "$stall"
}
