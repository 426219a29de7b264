# shellcheck shell=bash disable=SC2034,SC2154

sniffer_listens() { grep -q 'listening on' "$run/replies.log"; }

# What the router receives from the VIP comes from the servers' MAC addresses, and from no other.
replies_bypass_director() {
    local expected
    spawn sniffer router "$run/replies.log" \
        tcpdump -lenni eth0 "src host ${vip%:*} and tcp src port ${vip#*:}"
    eventually 10 sniffer_listens
    fetch_many 4
    sleep 0.5
    end_process sniffer INT
    expected=$(printf '%s\n' "$(mac_of rs1 eth0)" "$(mac_of rs2 eth0)" | sort)
    same "senders of the replies" "$expected" \
        "$(awk '$3 == ">" { print $2 }' "$run/replies.log" | sort -u)"
}

# The director sees all that clients send, and nothing of what they get.
only_requests_are_counted() {
    director_rules
    witness_start
    fetch_many 6
    ipvsadm -Ln --stats
    statistics_match 6 in
    more "packets in" 0 "$(statistics | cut -d ' ' -f 2)"
}

# Had the servers no arp_ignore, ARP for the VIP would have more than one answer: the check of
# who answers can tell.
careless_server_answers() {
    on rs1 sysctl -qw net.ipv4.conf.all.arp_ignore=0
    fails only_director_answers router eth0
    on rs1 sysctl -qw net.ipv4.conf.all.arp_ignore=1
    on router ip neighbour flush dev eth0
    only_director_answers router eth0
}

without_port() {
    on director bash -eu <<'TYPED'
ipvsadm -C
ipvsadm -A -t 192.168.10.100:80 -s rr
ipvsadm -a -t 192.168.10.100:80 -r 192.168.10.71 -g
ipvsadm -a -t 192.168.10.100:80 -r 192.168.10.72 -g
TYPED
    listed_as Route 1 192.168.10.71:80 192.168.10.72:80
    alternates
}

vip_as_alias() {
    director_network
    on director ip address delete 192.168.10.100/32 dev eth0
    on director ip address add 192.168.10.100/24 dev eth0 label eth0:0
    # The workers learn of an address a few milliseconds after the kernel.
    eventually 2 fetch client "http://$vip/"
    alternates
    only_director_answers router eth0
}

# The director's own gateway does not matter to what it balances.
any_gateway() {
    on director ip route replace default via 192.168.10.254
    alternates
}

checks() {
    check "requests alternate between the servers" alternates
    check "both are listed as Route 1" listed_as Route 1 192.168.10.71:80 192.168.10.72:80
    check "the servers' logs hold the client's address" client_in_logs 192.168.30.100 rs1 rs2
    check "only the director answers ARP for the VIP" only_director_answers router eth0
    check "a server without arp_ignore would be noticed" careless_server_answers
    check "replies do not pass the director" replies_bypass_director
    check "the director counts requests only" only_requests_are_counted
    check "Linux answers a ping of the VIP" linux_answers_ping client
    check "nothing listens on the director" nothing_listens
    check "states and their times are listed" states_are_listed
    check "the same without a port behind -r" without_port
    check "the same with any gateway" any_gateway
    check "the same with the VIP as an alias in the DIP's network" vip_as_alias
    check "50 MB down arrive intact" big_page_arrives rs1 rs2
    check "50 MB up arrive intact" big_upload_arrives rs1
}
