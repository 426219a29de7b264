# The address moves within a few seconds whatever of the master dies, and comes back.
# shellcheck shell=bash disable=SC2034,SC2154

# shellcheck source=/dev/null
source "$labs_dir/assault.sh"

# Milliseconds until the other director must serve: three advertisements that do not come, and the skew
# of the lower priority; and as long again for a machine that is busy, and for a switch that has to learn.
failover_max_ms=6000

# One request with little patience.
answers_now() { fetch client "http://$vip/" --max-time 0.4 >/dev/null 2>&1; }

# Both have the address for a moment when it moves back; with direct routing either may answer.
only_has_vip() {
    local other
    for other in "${directors[@]}"; do
        if [[ $other == "$1" ]]; then
            has_vip "$other" || return 1
        elif has_vip "$other"; then
            return 1
        fi
    done
}

# packets_in DIRECTOR: what it has counted for the service.
packets_in() { director=$1 statistics | cut -d ' ' -f 2; }

counts_more() { (($(packets_in "$1") > $2)); }

# The new master serves, by its own counters.
serves_by() {
    local before
    before=$(packets_in "$1")
    answers_now && counts_more "$1" "$before"
}

# served_again_by DIRECTOR START-MS WHAT
served_again_by() {
    local took
    eventually 10 serves_by "$1"
    took=$(($(now_ms) - $2))
    measured "$3: the other serves after $took ms"
    less "milliseconds until $1 serves" "$failover_max_ms" "$took"
    alternates
}

master_balances() {
    only_has_vip director1
    alternates
    more "packets in at the master" 0 "$(packets_in director1)"
    same "packets in at the backup" 0 "$(packets_in director2)"
}

# What is sent to the backup's own hardware address is not balanced: its address is not local there. That it
# arrives is to be seen in what goes to Linux to be forwarded.
backup_takes_nothing() {
    local rc=0 before flood_frames=100
    before=$(fate director2 punts:forwarded)
    same "rules of the backup" 3 "$(on director2 ipvsadm -S -n | wc -l)"
    on router ip neighbour replace "${vip%:*}" lladdr "$(mac_of director2 eth0)" dev "$towards_vip" nud permanent
    fetch client "http://$vip/" --max-time 2 || rc=$?
    on router ip neighbour delete "${vip%:*}" dev "$towards_vip"
    same "exit code of curl (28: no answer)" 28 "$rc"
    more "frames of curl that were the backup's" "$before" "$(fate director2 punts:forwarded)"
    before=$(fate director2 punts:forwarded)
    flood attacker syn "$vip" 10.9.0.0/24 director2
    eventually 2 counts_forwarded director2 $((before + flood_frames))
    same "frames that were the backup's" "$flood_frames" $(($(fate director2 punts:forwarded) - before))
    same "statistics of the backup" "0 0 0 0 0" "$(director=director2 statistics)"
    same "connections of the backup" '' "$(director=director2 connections)"
}

counts_forwarded() { (($(fate "$1" punts:forwarded) >= $2)); }

only_master_answers_arp() {
    same "hardware addresses behind ${vip%:*}" "$(vip_mac)" "$(arp_answers router "$towards_vip" "${vip%:*}")"
}

# The way back: the first director preempts, and takes its address away from the second.
comes_back() {
    local start
    start=$(now_ms)
    eventually 15 only_has_vip director1
    eventually 10 serves_by director1
    measured "back at the first after $(($(now_ms) - start)) ms"
    alternates
}

# Both its processes at once, so that nobody takes the address away: it is then on both directors,
# and who hears the new master's announcements goes there.
keepalived_killed() {
    local start child
    child=$(cat "$run/keepalived1-vrrp.pid")
    start=$(now_ms)
    kill -s STOP "$child"
    end_process keepalived1 KILL
    kill -s KILL "$child"
    has_vip director1
    served_again_by director2 "$start" "keepalived killed"
    director=director1 keepalived_start
    comes_back
}

# The tap stays, without carrier: keepalived there sees it and gives the address up.
pvsd_killed() {
    local start
    start=$(now_ms)
    end_process pvsd1 KILL
    served_again_by director2 "$start" "pvsd killed"
    director=director1 pvsd_start
    director=director1 director_rules
    comes_back
}

link_down() {
    local start
    start=$(now_ms)
    ip -n "$(ns switch)" link set nic1-d0 down
    served_again_by director2 "$start" "link down"
    ip -n "$(ns switch)" link set nic1-d0 up
    comes_back
}

# moves_nothing COMMAND...: no change of state meanwhile, and the master balances.
moves_nothing() {
    local states
    states=$(states_told)
    "$@"
    same "changes of state" "$states" "$(states_told)"
    only_has_vip director1
    alternates
}

states_told() { cat "$run"/keepalived?.log | grep -c STATE; }

# Both directors get a million ARP requests, which come to Linux in the same class, from many times as many
# addresses as Linux's table of neighbours has room for. It is one table for all hosts of the lab, and what is in it
# stays for five seconds: only then does the router find the address again.
arp_to_both() {
    leaves_no_trace director1 punts:neighbour leaves_no_trace director2 punts:neighbour \
        flood attacker arp 192.168.10.81:0 10.9.0.0/18 director1
    sleep 6
}

# Long enough to miss advertisements for good, which takes less than four seconds.
short_flood=600000

# A service of each director whose only server does not exist.
dead_server_of_both() {
    local director number flood_frames=$short_flood
    for director in "${directors[@]}"; do
        number=${director#director}
        ipvsadm -A -u "192.168.10.8$number:9" -s rr
        ipvsadm -a -u "192.168.10.8$number:9" -r 192.168.10.66:9 -g
        leaves_no_trace "$director" "drops:$unresolved" \
            flood attacker udp "192.168.10.8$number:9" 10.9.0.0/20 "$director"
        ipvsadm -D -u "192.168.10.8$number:9"
    done
}

# Twice what its class may bring to Linux in a second.
bgp_to_both() {
    local flood_frames=$short_flood
    leaves_no_trace director1 punts:session flood attacker bgp "${vip%:*}:1024" 10.9.0.0/20 director1
    leaves_no_trace director1 punts:session flood attacker bgp 192.168.10.81:1024 10.9.0.0/20 director1
    leaves_no_trace director2 punts:session flood attacker bgp 192.168.10.82:1024 10.9.0.0/20 director2
}

floods() {
    check "ARP from everybody to both directors moves nothing" moves_nothing arp_to_both
    check "UDP to a closed port of the master moves nothing" moves_nothing leaves_no_trace director1 punts:local \
        flood attacker udp 192.168.10.81:9 10.9.0.0/20 director1
    check "packets to servers that do not exist, of both directors, move nothing" \
        moves_nothing dead_server_of_both
    check "what comes from BGP's port to the VIP and to both directors moves nothing" moves_nothing bgp_to_both
}

checks() {
    check "the master balances, and the backup does not" master_balances
    check "what is sent to the backup is not balanced" backup_takes_nothing
    check "one director answers ARP for the VIP: the master" only_master_answers_arp
    [[ $lab != vrrp ]] || floods
    check "keepalived killed with -9: the other serves, and gives it back" keepalived_killed
    check "pvsd killed with -9: the other serves, and gives it back" pvsd_killed
    check "link down: the other serves, and gives it back" link_down
}

# The proof that the directors do it.
checks_can_fail() {
    each_director pvsd_stop
    check "the first check fails when both pvsd are stopped" fails alternates
}
