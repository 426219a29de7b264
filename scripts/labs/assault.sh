# A flood, what of it must reach the director, and what it must leave as it is.
# shellcheck shell=bash disable=SC2034,SC2154

flood_frames=1000000

# Frames in a second. Twice as many are more than two cores can carry over packet sockets beside all
# else: then the interface itself loses frames, the download's too.
flood_rate=100000

# Of a hundred frames so many must reach the director, for otherwise it was no flood. What is missing is lost
# where packet sockets on two cores carry frames and answers.
flood_arrives_percent=30

# What a flood may cost: the director shares its cores with generator, servers and client.
flood_stall_ms=2000
flood_memory_kb=8192
flood_log_lines=40

# flood HOST KIND TO FROM DIRECTOR: all the frames, in a minute at most.
flood() {
    local host=$1 kind=$2 to=$3 from=$4 mac rate=$flood_rate
    # Each SYN goes on to a server, whose answer comes back: the sockets carry several times as many.
    [[ $kind != syn ]] || rate=$((flood_rate / 4))
    mac=$(mac_of "$5" "$(mirror_of servers)")
    on "$host" "$bin/pvs-bench" flood --interface eth0 --kind "$kind" --to "$to" --from "$from" \
        --mac "$mac" --frames "$flood_frames" --rate "$rate" --seconds 60 >"$run/flood.log" 2>&1
    now_ms >"$run/flood.ended"
    measured "$kind to $to: $(cat "$run/flood.log")"
}

# Kilobytes of memory that a process has.
memory_of() { awk '$1 == "VmRSS:" { print $2 }' "/proc/$(pid_of "$1")/status"; }

neighbours_of() { on "$1" ip neighbour show | wc -l; }

log_lines() { wc -l <"$run/$1.log"; }

# The exit status tells also that something needs attention, as a server that does not exist.
status_of() { on "$1" pvsadm status --json || [[ $? -eq 1 ]]; }

# received_by DIRECTOR: frames that its ports have received, as it was a second ago at most.
received_by() { status_of "$1" | jq '[.ports[].rx_packets] | add'; }

# fate DIRECTOR WHAT: how many frames went that way: `punts:CLASS` to Linux or lost on the way there,
# `drops:REASON...` lost for one of these reasons, `packets:SERVICE` taken by a service.
fate() {
    case $2 in
    punts:*)
        status_of "$1" |
            jq --arg class "${2#*:}" '[.punts[] | select(.class == $class) | .passed + .dropped] | add'
        ;;
    drops:*)
        on "$1" pvsadm drops --json |
            jq --arg reasons "${2#*:}" '[.drops[] | select(.reason | IN($reasons | split(",")[])) | .packets] |
                add // 0'
        ;;
    packets:*)
        on "$1" ipvsadm -Ln --stats --exact |
            awk -v service="${2#*:}" '$2 == service { sum += $4 } END { print sum + 0 }'
        ;;
    *) die "no fate '$2'" ;;
    esac
}

# The reasons for which a packet to a next hop that does not answer is lost.
unresolved=neighbour_queue_full,neighbour_timeout,host_unreachable

# growth BEFORE AFTER: zero if it shrank.
growth() { echo $(($2 > $1 ? $2 - $1 : 0)); }

# leaves_no_trace DIRECTOR WHAT COMMAND...: the flood reaches the director and has that fate, and neither
# memory nor a log grows with the number of frames.
leaves_no_trace() {
    local whom=$1 what=$2 name received fated memory lines least
    shift 2
    name=$(pvsd_of "$whom")
    least=$((flood_frames * flood_arrives_percent / 100))
    received=$(received_by "$whom") fated=$(fate "$whom" "$what")
    memory=$(memory_of "$name") lines=$(log_lines "$name")
    "$@"
    # Until the ports' figures are those after the flood.
    sleep 1.5
    received=$(growth "$received" "$(received_by "$whom")") fated=$(growth "$fated" "$(fate "$whom" "$what")")
    memory=$(growth "$memory" "$(memory_of "$name")") lines=$(growth "$lines" "$(log_lines "$name")")
    measured "$whom: $received received, $fated $what; $memory kB more, $lines lines in the log"
    more "frames that reached $whom" "$least" "$received"
    more "frames that were $what" "$least" "$fated"
    less "kilobytes more" "$flood_memory_kb" "$memory"
    less "lines of log" "$flood_log_lines" "$lines"
}
