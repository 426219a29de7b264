# A hundred thousand connections are listed while a download runs.
# shellcheck shell=bash disable=SC2034,SC2154

# shellcheck source=/dev/null
source "$labs_dir/download.sh"
# shellcheck source=/dev/null
source "$labs_dir/assault.sh"

listed=100000
flood_frames=$listed

# What a listing may cost the download, and how long a command may wait for those who list.
listing_stall_ms=1000
command_max_ms=1000

makes_connections() {
    flood attacker udp 192.168.10.100:9 10.32.0.0/15 director
    measured "$(cat "$run/flood.log")"
    measured "connections in the table: $(used_places)"
    more "connections" $((listed - 1)) "$(used_places)"
}

used_places() { status_json | jq '[.tables[].used] | add'; }

# list_to FILE: all of them are there, each once.
list_to() {
    local start took
    start=$(now_ms)
    ipvsadm -Lnc >"$run/$1"
    took=$(($(now_ms) - start))
    measured "$(wc -l <"$run/$1") lines in $took ms"
    more "connections of UDP" $((listed - 1)) "$(grep -c '^UDP' "$run/$1")"
    same "connections listed twice" 0 "$(awk '$1 == "UDP" { print $4 }' "$run/$1" | sort | uniq -d | wc -l)"
}

lists_once() { sleep 1 && list_to list; }

lists_twice_at_once() {
    local other
    sleep 1
    list_to list1 &
    other=$!
    list_to list2
    wait "$other"
}

# One that reads nothing of what it has asked for, and others beside.
nobody_reads() {
    local memory number start worst=0 took
    memory=$(memory_of pvsd)
    for number in 1 2 3; do
        spawn "unread$number" director "$run/unread.log" env PVS_SOCKET="$run/pvsd.sock" \
            bash -c "'$bin/pvsadm' -Lnc | sleep 4"
    done
    sleep 0.5
    for number in {1..20}; do
        start=$(now_ms)
        ipvsadm -a -t "$vip" -r "192.168.10.1$number" -m -w 0
        ipvsadm -d -t "$vip" -r "192.168.10.1$number"
        took=$(($(now_ms) - start))
        ((took <= worst)) || worst=$took
    done
    list_to list
    for number in 1 2 3; do
        end_process "unread$number"
    done
    memory=$(($(memory_of pvsd) - memory))
    measured "two commands took $worst ms at most; pvsd has $memory kB more"
    less "milliseconds of two commands" "$command_max_ms" "$worst"
    less "kilobytes more" 32768 "$memory"
}

checks() {
    check "$listed connections are made" makes_connections
    check "they are listed while a download runs" survives rs1 80 "$listing_stall_ms" lists_once
    check "two listings at once" survives rs1 80 "$listing_stall_ms" lists_twice_at_once
    check "clients that stop reading harm nobody" survives rs1 80 "$listing_stall_ms" nobody_reads
}

# The same download, without pvsd.
checks_can_fail() {
    pvsd_stop
    check "a download fails when pvsd is stopped" fails download_start 80
}
