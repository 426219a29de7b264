# Checks of direct routing: DR-1 in IPv4 and IPv6, and DR-2.
# shellcheck shell=bash disable=SC2034,SC2154

# What the router receives from the VIP comes from the servers' MAC addresses, and from no other.
replies_bypass_director() {
    local expected
    sniff router eth0 "$run/replies.log" "src host $vip_address and tcp src port ${vip##*:}"
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

# A server with the VIP where it answers for it: without arp_ignore, or on eth0 in IPv6.
careless() {
    case $family-$1 in
    4-yes) on rs1 sysctl -qw net.ipv4.conf.all.arp_ignore=0 ;;
    4-no) on rs1 sysctl -qw net.ipv4.conf.all.arp_ignore=1 ;;
    6-yes) on rs1 ip address add "$vip_address/128" dev eth0 nodad ;;
    6-no) on rs1 ip address delete "$vip_address/128" dev eth0 ;;
    esac
}

# The check of who answers can tell.
careless_server_answers() {
    careless yes
    fails only_director_answers router "$towards_vip"
    careless no
    on router ip neighbour flush dev eth0
    only_director_answers router "$towards_vip"
}

without_port() {
    rules_without_port
    listed_as Route 1 "${endpoints[@]}"
    alternates
}

same_as_alias() {
    director_network
    vip_as_alias
    # The workers learn of an address a few milliseconds after the kernel, which in IPv6 looks for
    # duplicates for a second or two.
    eventually 5 fetch client "http://$vip/"
    alternates
    only_director_answers router "$towards_vip"
}

# The director's own gateway does not matter to what it balances.
any_gateway() {
    on director ip route replace default via "$nobody"
    alternates
    director_network
}

checks() {
    check "requests alternate between the servers" alternates
    check "both are listed as Route 1" listed_as Route 1 "${endpoints[@]}"
    check "the servers' logs hold the client's address" client_in_logs "$(address_of client)" rs1 rs2
    check "only the director says that it has the VIP" only_director_answers router "$towards_vip"
    [[ $towards_vip != eth0 ]] ||
        check "a server that says so too would be noticed" careless_server_answers
    check "replies do not pass the director" replies_bypass_director
    check "the director counts requests only" only_requests_are_counted
    check "Linux answers a ping of the VIP" linux_answers_ping client
    check "nothing listens on the director" nothing_listens
    check "states and their times are listed" states_are_listed
    ! declare -F rules_without_port >/dev/null ||
        check "the same without a port behind -r" without_port
    check "the same with any gateway" any_gateway
    ! declare -F vip_as_alias >/dev/null ||
        check "the same with the VIP as an alias in the DIP's network" same_as_alias
    check "50 MB down arrive intact" big_page_arrives rs1 rs2
    check "50 MB up arrive intact" big_upload_arrives rs1
}

dns_checks_of_lab() { dns_checks Route in; }
