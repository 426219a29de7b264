# Neighbours change on the way of a download; the longest time without a byte is what counts.
# shellcheck shell=bash disable=SC2034,SC2154

# shellcheck source=/dev/null
source "$labs_dir/download.sh"

# A changed hardware address is followed within this time.
followed_max_ms=2000

# changes_mac HOST: twice during the download, first without a word, then with gratuitous ARP.
changes_mac() {
    local host=$1 told
    for told in 0 1; do
        sleep 1.3
        on "$host" sysctl -qw "net.ipv4.conf.eth0.arp_notify=$told"
        on "$host" ip link set eth0 address "$(another_mac)"
    done
}

another_mac() {
    printf '02:00:00:%02x:%02x:%02x\n' $((RANDOM % 256)) $((RANDOM % 256)) $((RANDOM % 256))
}

# As changes_mac, by a host that sends no ARP at all, neither gratuitous nor to find its gateway.
changes_mac_mutely() {
    local host=$1 gateway=$2 lladdr
    lladdr=$(on "$host" ip -j neighbour show to "$gateway" | jq -r '.[0].lladdr')
    sleep 1.5
    on "$host" bash -eu <<EOF
ip link set eth0 address $(another_mac)
ip neighbour replace $gateway lladdr $lladdr dev eth0 nud permanent
EOF
}

# The server's link goes and comes back, with the route that its kernel forgets.
link_goes() {
    local host=$1 gateway=$2 seconds=$3
    sleep 1.5
    on "$host" ip link set eth0 down
    sleep "$seconds"
    on "$host" bash -eu <<EOF
ip link set eth0 up
ip route replace default via $gateway
EOF
}

# A request that begins while the link is down waits, and is answered.
link_goes_and_request_waits() {
    local start
    link_goes "$1" "$2" "$3" &
    sleep 2.5
    start=$(now_ms)
    fetch client "http://${vip%:*}:$4/" --connect-timeout 20 --max-time 20
    measured "a request made meanwhile was answered after $(($(now_ms) - start)) ms"
    wait $!
}

checks() {
    check "an undisturbed download" survives rs1 80 1000 true
    check "masqueraded, the server's hardware address changes" \
        survives rs1 80 $followed_max_ms changes_mac rs1
    check "masqueraded, the hardware address of the client's router changes" \
        survives rs1 80 $followed_max_ms changes_mac router
    check "direct routing, the server's hardware address changes" \
        survives rs2 81 $followed_max_ms changes_mac rs2
    check "masqueraded, by a server that sends no ARP at all" \
        survives rs1 80 $followed_max_ms changes_mac_mutely rs1 192.168.10.81
    check "direct routing, by a server that sends no ARP at all" \
        survives rs2 81 $followed_max_ms changes_mac_mutely rs2 192.168.10.84
    check "masqueraded, the server's link is down for 3 s" \
        survives rs1 80 8000 link_goes_and_request_waits rs1 192.168.10.81 3 80
    check "direct routing, the server's link is down for 3 s" \
        survives rs2 81 8000 link_goes_and_request_waits rs2 192.168.10.84 3 81
}

# The same download, without pvsd.
checks_can_fail() {
    pvsd_stop
    check "a download fails when pvsd is stopped" fails download_start 80
}
