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

# What is sent to the backup's own hardware address is not balanced: its address is not local there.
backup_takes_nothing() {
    local rc=0
    same "rules of the backup" 3 "$(on director2 ipvsadm -S -n | wc -l)"
    on router ip neighbour replace "${vip%:*}" lladdr "$(mac_of director2 eth0)" dev "$towards_vip" nud permanent
    fetch client "http://$vip/" --max-time 2 || rc=$?
    on router ip neighbour delete "${vip%:*}" dev "$towards_vip"
    same "exit code of curl (28: no answer)" 28 "$rc"
    same "statistics of the backup" "0 0 0 0 0" "$(director=director2 statistics)"
    same "connections of the backup" '' "$(director=director2 connections)"
}

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

# No change of state while both directors get a million ARP requests, which come to Linux in the same
# class as VRRP's advertisements, and the master a million datagrams.
flood_moves_nothing() {
    local name states
    states=$(cat "$run"/keepalived?.log | grep -c STATE)
    leaves_no_trace pvsd1 flood attacker arp 192.168.10.81:0 10.9.0.0/20 director1
    leaves_no_trace pvsd1 flood attacker udp 192.168.10.81:9 10.9.0.0/20 director1
    same "changes of state" "$states" "$(cat "$run"/keepalived?.log | grep -c STATE)"
    only_has_vip director1
    alternates
}

checks() {
    check "the master balances, and the backup does not" master_balances
    check "what is sent to the backup is not balanced" backup_takes_nothing
    check "one director answers ARP for the VIP: the master" only_master_answers_arp
    [[ $lab != vrrp ]] || check "floods move nothing" flood_moves_nothing
    check "keepalived killed with -9: the other serves, and gives it back" keepalived_killed
    check "pvsd killed with -9: the other serves, and gives it back" pvsd_killed
    check "link down: the other serves, and gives it back" link_down
}

# The proof that the directors do it.
checks_can_fail() {
    each_director pvsd_stop
    check "the first check fails when both pvsd are stopped" fails alternates
}
