# HTTP load on a lab: what load.py says, as assertions.
# shellcheck shell=bash disable=SC2034,SC2154

# Requests that may be slow, for the kernel of a busy machine loses a segment now and then.
load_slow_max=3

# load_all COUNT ENDPOINT [AT-ONCE]: every request succeeds.
load_all() {
    local count=$1 endpoint=$2 at_once=${3:-32}
    on client "$labs_dir/load.py" --count "$count" --at-once "$at_once" "$endpoint" \
        >"$run/load.log" || { cat "$run/load.log" && return 1; }
    measured "$(cat "$run/load.log")"
    same "requests" "$count" "$(cut -d ' ' -f 1 "$run/load.log")"
}

# load_start NAME ENDPOINT [OPTION...]: until load_end.
load_start() {
    local name=$1 endpoint=$2
    shift 2
    spawn "load-$name" client "$run/load-$name.log" "$labs_dir/load.py" --at-once 4 --seconds 500 \
        "$@" "$endpoint"
}

# load_end NAME: what it says; in the end.
load_end() {
    end_process "load-$1"
    cat "$run/load-$1.log"
}

# load_succeeded NAME: every request did, and at once.
load_succeeded() {
    local told
    told=$(load_end "$1")
    measured "load on $1: $told"
    same "failures" 0 "$(awk '/ requests, / { print $3 }' <<<"$told")"
    more "requests" 100 "$(awk '/ requests, / { print $1 }' <<<"$told")"
    less "slow requests" "$load_slow_max" "$(awk '/ requests, / { print $5 }' <<<"$told")"
}
