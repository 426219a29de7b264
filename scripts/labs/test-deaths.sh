# pvsd is killed at any moment, refused a second time, and ended in order; each time nothing is in the way.
# shellcheck shell=bash disable=SC2034,SC2154

# shellcheck source=/dev/null
source "$labs_dir/load.sh"

deaths=${PVS_LAB_DEATHS:-5}

# From the kill to the first page; a machine with few cores takes longest for DPDK's own start.
back_max_ms=4000

# Under /var/run/dpdk, pvsd's folder is named by its pid.
dpdk_folder() { printf '/var/run/dpdk/pvs-%s' "$1"; }

# What keeps the host's stack off the ports, a table for each; and what takes the frames by af_xdp.
nft_tables() { on nic nft list tables netdev; }

xdp_programs() { on nic ip link | grep -o ' xdp' || true; }

ports_are_held() {
    same "tables of nft" "${#ports[@]}" "$(nft_tables | wc -l)"
    [[ $driver != af_xdp ]] || same "XDP programs" "${#ports[@]}" "$(xdp_programs | wc -l)"
}

answers_at_once() { fetch client "http://$vip/" --max-time 0.4 >/dev/null 2>&1; }

# Half-way up, at any moment of it.
dies_at_its_start() {
    local name
    name=$(pvsd_of "$director")
    spawn "$name" "$(nic_of "$director")" "$run/$name.log" "$bin/pvsd" --config "$run/$name.toml"
    sleep "0.$((RANDOM % 6))$((RANDOM % 10))"
    end_process "$name" KILL
}

# one_death ROUND: at a random moment, every third time a second one while it starts again.
one_death() {
    local before start pid took
    sleep "$((RANDOM % 2)).$((RANDOM % 10))$((RANDOM % 10))"
    before=$(operators_settings)
    pid=$(pid_of pvsd)
    end_process pvsd KILL
    (($1 % 3 != 0)) || dies_at_its_start
    start=$(now_ms)
    pvsd_start false "$run/rules"
    eventually 10 answers_at_once
    took=$(($(now_ms) - start))
    echo "round $1: back after $took ms"
    less "milliseconds from the start to the first page" "$back_max_ms" "$took"
    same "addresses and routes" "$before" "$(operators_settings)"
    ports_are_held
    if [[ -e $(dpdk_folder "$pid") ]]; then
        echo "the folder of the killed one is still there: $(dpdk_folder "$pid")"
        return 1
    fi
}

dies_and_works() {
    local round
    ipvsadm -S -n >"$run/rules"
    load_start 80 "${vip%:*}:80" --patience 0.5
    load_start 81 "${vip%:*}:81" --patience 0.5
    for ((round = 1; round <= deaths; round++)); do
        one_death "$round" | tee -a "$run/rounds"
    done
    load_end 80
    load_end 81
    measured "$deaths times; from the start to the first page: $(awk '
        { sum += $5; if ($5 > most) most = $5 } END { printf "%d ms, the longest %d ms", sum / NR, most }
        ' "$run/rounds")"
    load_all 200 "$vip"
}

# A pvsd that has one thing in common with the running one: WORDS of sed make it so.
second_refused() {
    local wanted=$1 rc=0 told
    shift
    sed "$@" "$run/pvsd.toml" >"$run/second.toml"
    told=$(on nic timeout 20 "$bin/pvsd" --config "$run/second.toml" 2>&1) || rc=$?
    tail -n 1 <<<"$told"
    measured "$(tail -n 1 <<<"$told")"
    same "exit status" 1 "$rc"
    same "its last line" 1 "$(tail -n 1 <<<"$told" | grep -cF "$wanted")"
}

other_socket='s|pvsd.sock|second.sock|'
other_port='s|net_af_[a-z]*\([0-9]\),[^"]*|net_null\1,no-rx=1|'
other_tap='s|mirror = "eth|mirror = "other|'

# The first one goes on without a failed request.
second_ones_are_refused() {
    load_start 80 "${vip%:*}:80"
    load_start 81 "${vip%:*}:81"
    second_refused "another pvsd is listening there" -e "$other_port" -e "$other_tap"
    second_refused "port" -e "$other_socket" -e "$other_tap"
    second_refused "in use" -e "$other_socket" -e "$other_port"
    same "sockets" "$run/pvsd.sock" "$(ls "$run"/*.sock)"
    ports_are_held
    load_succeeded 80
    load_succeeded 81
}

# All that is left is the tap.
ends_in_order() {
    local pid before
    before=$(operators_settings)
    pid=$(pid_of pvsd)
    [[ -d $(dpdk_folder "$pid") && -S $run/pvsd.sock ]]
    ports_are_held
    pvsd_stop
    same "socket" '' "$(ls "$run"/*.sock 2>/dev/null)"
    same "tables of nft" '' "$(nft_tables)"
    same "XDP programs" '' "$(xdp_programs)"
    same "folder of DPDK" '' "$(ls -d "$(dpdk_folder "$pid")" 2>/dev/null)"
    same "notes of hugepages" '' "$(ls -d /run/pvs-hugepages/"$pid"-* 2>/dev/null)"
    same "IPv6 is off on the port, as before" 1 "$(on nic sysctl -n net.ipv6.conf.d0.disable_ipv6)"
    on director ip link show eth0
    pvsd_start false "$run/rules"
    answers_at_once
}

checks() {
    check "killed with -9 under load, and back without cleaning" dies_and_works
    check "a second pvsd on its socket, port or tap is refused" second_ones_are_refused
    check "an orderly end leaves only the tap" ends_in_order
}

# The proof that requests come through pvsd.
checks_can_fail() {
    pvsd_stop
    check "a load fails when pvsd is stopped" fails load_all 8 "$vip" 8
}
