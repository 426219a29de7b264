# A flood and what it must leave as it is.
# shellcheck shell=bash disable=SC2034,SC2154

flood_frames=1000000

# Frames in a second. Twice as many are more than two cores can carry over packet sockets beside all
# else: then the interface itself loses frames, the download's too.
flood_rate=100000

# What a flood may cost: the director shares its cores with generator, servers and client.
flood_stall_ms=2000
flood_memory_kb=8192
flood_log_lines=40

# flood HOST KIND TO FROM DIRECTOR: a million frames, in a minute at most; what it says goes to a log.
flood() {
    local host=$1 kind=$2 to=$3 from=$4 mac
    mac=$(mac_of "$5" "$(mirror_of servers)")
    on "$host" "$bin/pvs-bench" flood --interface eth0 --kind "$kind" --to "$to" --from "$from" \
        --mac "$mac" --frames "$flood_frames" --rate "$flood_rate" --seconds 60 >"$run/flood.log" 2>&1
}

# Kilobytes of memory that a process has.
memory_of() { awk '$1 == "VmRSS:" { print $2 }' "/proc/$(pid_of "$1")/status"; }

neighbours_of() { on "$1" ip neighbour show | wc -l; }

log_lines() { wc -l <"$run/$1.log"; }

# leaves_no_trace NAME COMMAND...: neither memory nor a log grows with the number of frames.
leaves_no_trace() {
    local name=$1 memory lines
    shift
    memory=$(memory_of "$name")
    lines=$(log_lines "$name")
    "$@"
    measured "$(cat "$run/flood.log")"
    memory=$(($(memory_of "$name") - memory))
    lines=$(($(log_lines "$name") - lines))
    measured "$name: $memory kB more, $lines lines in its log"
    same "kilobytes more are fewer than $flood_memory_kb" 1 "$((memory < flood_memory_kb))"
    less "lines of log" "$flood_log_lines" "$lines"
    same "frames sent" "$flood_frames" "$(awk '{ print $1 + $(NF - 3) }' "$run/flood.log")"
}
