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

# flooded NEW-CLIENT KIND TO FROM
flooded() {
    local stranger=$1
    shift
    leaves_no_trace pvsd survives rs1 80 "$flood_stall_ms" flood attacker "$@" director
    measured "neighbours of the director: $(neighbours_of director)"
    answers_promptly "$stranger"
}

checks() {
    check "UDP to a local address without a service" \
        flooded 10.40.0.91 udp 192.168.10.81:9 10.40.128.0/17
    check "ARP from everybody" flooded 10.40.0.92 arp 192.168.10.81:0 10.9.0.0/18
    check "UDP to a service whose server does not exist" \
        flooded 10.40.0.93 udp 192.168.10.100:9 10.9.0.0/16
    check "SYN to a service from clients that do not exist" \
        flooded 10.40.0.94 syn 192.168.10.100:80 10.40.128.0/17
}

# The same download, without pvsd.
checks_can_fail() {
    pvsd_stop
    check "a download fails when pvsd is stopped" fails download_start 80
}
