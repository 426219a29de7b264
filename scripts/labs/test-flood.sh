# A million frames of each kind, while a download runs.
# shellcheck shell=bash disable=SC2034,SC2154

# shellcheck source=/dev/null
source "$labs_dir/download.sh"
# shellcheck source=/dev/null
source "$labs_dir/assault.sh"

# answers_promptly NEW-CLIENT
answers_promptly() {
    local start
    start=$(now_ms)
    fetch client "http://${vip%:*}:80/" --max-time 2
    fetch client "http://${vip%:*}:81/" --max-time 2
    # A client on the segment that asks for nobody's hardware address, and whose own the director has
    # never heard of. The place of one that does not exist has to become free for it, and its server
    # answers again after one second and three.
    on attacker ip address add "$1/32" dev eth0
    fetch attacker "http://${vip%:*}:80/" --interface "$1" --connect-timeout 5 --max-time 5
    measured "then two pages, and one for a new client, came in $(($(now_ms) - start)) ms"
    # Linux's own answers may wait until it has given up on those that it answered in vain: the packets
    # that wait for a neighbour count against its ICMP socket.
    eventually 4 on client ping -c 1 -W 1 "${vip%:*}"
    measured "and a ping of the director after $(($(now_ms) - start)) ms"
}

# Milliseconds of a download that must be within the flood; the whole takes five seconds.
overlap_ms=4000

# arrives WHAT BEFORE: ten thousand frames have had that fate since.
arrives() { (($(fate director "$1") > $2 + 10000)); }

# downloads_within WHAT KIND TO FROM: a download that begins when the flood has reached the director.
downloads_within() {
    local what=$1 before started ended flooding
    shift
    before=$(fate director "$what")
    rm -f "$run/flood.ended"
    flood attacker "$@" director &
    flooding=$!
    eventually 5 arrives "$what" "$before"
    started=$(now_ms)
    survives rs1 80 "$flood_stall_ms" true
    ended=$(now_ms)
    wait "$flooding"
    (($(cat "$run/flood.ended") > ended)) || ended=$(cat "$run/flood.ended")
    measured "$((ended - started)) ms of the download were within the flood"
    more "milliseconds of the download within the flood" "$overlap_ms" $((ended - started))
}

# flooded NEW-CLIENT WHAT KIND TO FROM
flooded() {
    local stranger=$1
    shift
    leaves_no_trace director "$1" downloads_within "$@"
    measured "neighbours of the director: $(neighbours_of director)"
    # Linux throws nothing out of a full table of neighbours that is younger than five seconds.
    [[ $2 != arp ]] || sleep 6
    answers_promptly "$stranger"
}

checks() {
    check "UDP to a local address without a service" \
        flooded 10.40.0.91 punts:local udp 192.168.10.81:9 10.40.128.0/17
    # From many times as many addresses as Linux's table of neighbours has room for (gc_thresh3, 1,024).
    check "ARP from everybody" flooded 10.40.0.92 punts:neighbour arp 192.168.10.81:0 10.9.0.0/18
    check "UDP to a service whose server does not exist" \
        flooded 10.40.0.93 "drops:$unresolved" udp 192.168.10.100:9 10.9.0.0/16
    # A quarter as many, since they come at a quarter of the rate.
    [[ -n ${PVS_LAB_LONG:-} ]] || flood_frames=$((flood_frames / 4))
    check "SYN to a service from clients that do not exist" \
        flooded 10.40.0.94 packets:192.168.10.100:80 syn 192.168.10.100:80 10.40.128.0/17
}

# The same download, without pvsd.
checks_can_fail() {
    pvsd_stop
    check "a download fails when pvsd is stopped" fails download_start 80
}
