# Two workers that share a queue, and two with a queue each: no request fails, and hand-overs are counted.
# shellcheck shell=bash disable=SC2034,SC2154

# shellcheck source=/dev/null
source "$labs_dir/load.sh"

load_count=10000

# worker_figures FIELD: that of each worker.
worker_figures() { status_json | jq -r "[.workers[].$1] | join(\" \")"; }

# The sum of what worker_figures tells.
worker_sum() { worker_figures "$1" | awk '{ for (i = 1; i <= NF; i++) sum += $i } END { print sum }'; }

# Both workers must have owned some of these connections.
all_succeed() {
    local port=$1 before after
    before=$(worker_sum handed_over)
    load_all "$load_count" "${vip%:*}:$port"
    after=$(worker_sum handed_over)
    handed=$((after - before))
    measured "steering $(status_json | jq -r .steering): received by each worker:" \
        "$(worker_figures received); handed over: $(worker_figures handed_over); taken over:" \
        "$(worker_figures taken_over); relayed: $(worker_figures relayed); connections:" \
        "$(worker_figures connections)"
    same "workers without connections" 0 "$(worker_figures connections | tr ' ' '\n' | grep -cx 0)"
    same "what some handed over or relayed, and others took" \
        "$(($(worker_sum handed_over) + $(worker_sum relayed)))" "$(worker_sum taken_over)"
}

# One queue: half of all packets are the other worker's.
ring_hands_over() {
    all_succeed "$1"
    more "packets handed over" "$load_count" "$handed"
    # Packets of others were there before, and are few.
    less "packets that the worker without a queue received" 1 "$(worker_figures received | cut -d ' ' -f 2)"
}

queue_of_its_own() {
    all_succeed 81
    same "packets handed over" 0 "$(worker_sum handed_over)"
    same "packets relayed" 0 "$(worker_sum relayed)"
}

masquerading_is_refused() {
    local rc=0 told
    on "$director" ipvsadm -A -t 192.168.10.100:80 -s rr
    told=$(on "$director" ipvsadm -a -t 192.168.10.100:80 -r 192.168.10.71:80 -m 2>&1) || rc=$?
    echo "$told"
    same "exit status" 255 "$rc"
    grep -q "rxq" <<<"$told"
    on "$director" ipvsadm -D -t 192.168.10.100:80
}

# A queue for each worker, and each owns what its queue brings.
queues_of_their_own() {
    workers=2 queues=2 steering=rxq pvsd_restart
    director_direct_rules
}

checks() {
    check "$load_count connections, masqueraded by two workers with one queue" ring_hands_over 80
    check "$load_count connections, direct routing by two workers with one queue" ring_hands_over 81
    queues_of_their_own
    check "$load_count connections, direct routing, a queue for each: nothing is handed over" queue_of_its_own
    check "a masquerading server is refused then" masquerading_is_refused
    workers=2 queues=2 steering=ring pvsd_restart
    director_rules
    check "$load_count connections, masqueraded, two queues that hash as they like" all_succeed 80
}

# The same load, without pvsd.
checks_can_fail() {
    pvsd_stop
    check "a load fails when pvsd is stopped" fails load_all 8 "$vip" 8
}
