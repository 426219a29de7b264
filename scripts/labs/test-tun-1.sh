# Checks of TUN-1, in IPv4 and IPv6. Most are those of direct routing.
# shellcheck shell=bash disable=SC2034,SC2154

# shellcheck source=/dev/null
source "$labs_dir/test-dr-1.sh"

# requests_come_in_tunnels WHICH-PACKETS SERVER: what rs1 receives is from the client inside, and
# to the server outside.
requests_come_in_tunnels() {
    sniff rs1 eth0 "$run/tunnel.log" -Q in "$1"
    fetch_many 4
    sleep 0.5
    end_process sniffer INT
    cat "$run/tunnel.log"
    more "packets in tunnels" 9 \
        "$(grep -F " > $2: " "$run/tunnel.log" | grep -cF "$(address_of client).")"
}

server_elsewhere() {
    rules_elsewhere
    listed_as Tunnel 1 "${endpoints[1]}" "$(endpoint "$(address_of far)" 80)"
    alternates
    client_in_logs "$(address_of client)" rs2 far
    big_page_arrives rs2 far
    learns_mtu "$mtu"
    director_rules
}

# A server that has the other family on its segment, and tunnels over that.
other_family_outside() {
    mixed_network
    rules_mixed
    alternates
    requests_come_in_tunnels "$mixed_packets" "$mixed_rs1"
    on director ipvsadm -d -t "$vip" -r "${endpoints[1]}"
    learns_mtu "$mixed_mtu"
    director_rules
}

forget_mtu() { on client ip "-$family" route flush cache; }

learned_mtu() { on client ip route get "$vip_address" | grep -oE 'mtu [0-9]+' || true; }

# What an upload before has left in the client's kernel is sent again, and may be told of once more.
mtu_is_forgotten() {
    forget_mtu
    [[ -z $(learned_mtu) ]]
}

# The client's packets are too big for the tunnel: its kernel is told so, and the upload arrives.
learns_mtu() {
    eventually 5 mtu_is_forgotten
    big_upload_arrives rs1
    same "what it knows after" "mtu $1" "$(learned_mtu)"
}

# A client that does not hear of it gets nothing through: the check above can tell.
deaf_client_uploads_nothing() {
    local rc=0
    forget_mtu
    on client nft -f - <<'EOF'
table inet deaf {
    chain in {
        type filter hook input priority 0;
        icmp type destination-unreachable drop
        icmpv6 type packet-too-big drop
    }
}
EOF
    fetch client "http://$vip/upload/big" --upload-file "$run/rs1/big" --max-time 2 || rc=$?
    on client nft delete table inet deaf
    same "exit code of curl (28: no end)" 28 "$rc"
    same "what the client knows" '' "$(learned_mtu)"
}

checks() {
    check "requests alternate between the servers" alternates
    check "both are listed as Tunnel 1" listed_as Tunnel 1 "${endpoints[@]}"
    check "requests come to the servers in tunnels" \
        requests_come_in_tunnels "$tunnel_packets" "$(address_of rs1)"
    check "the servers' logs hold the client's address" client_in_logs "$(address_of client)" rs1 rs2
    check "only the director says that it has the VIP" only_director_answers router "$towards_vip"
    [[ $towards_vip != eth0 ]] ||
        check "a server that says so too would be noticed" careless_server_answers
    check "replies do not pass the director" replies_bypass_director
    check "the director counts requests only" only_requests_are_counted
    check "Linux answers a ping of the VIP" linux_answers_ping client
    check "nothing listens on the director" nothing_listens
    check "states and their times are listed" states_are_listed
    check "50 MB down arrive intact" big_page_arrives rs1 rs2
    check "50 MB up arrive intact, once the client knows the tunnel's MTU" learns_mtu "$mtu"
    check "a client that does not hear of it uploads nothing" deaf_client_uploads_nothing
    check "a server in another network than the director's" server_elsewhere
    check "a server that is reached over the other family" other_family_outside
}

dns_checks_of_lab() { dns_checks Tunnel in; }
