#!/usr/bin/env bash
# shellcheck disable=SC2034,SC2154
# Tests of the labs: `scripts/lab test LAB... | all | alone | shared`. Each lab comes up, shows what the tutorial
# shows, shows that this needs pvsd and its workers, and goes down. A table tells what worked in
# which lab, family and protocol; the last line counts.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
for part in lib shape process network servers director life check listings dns; do
    # shellcheck source=/dev/null
    source "$here/$part.sh"
done

# Every lab's checks may have passed by accident; these show that they can fail.
checks_can_fail() {
    pvsd_stop
    check "the first check fails when pvsd is stopped" fails alternates
    with_dns check "nobody answers a question either" fails answers_alternate
    pvsd_start true
    director_rules
    with_dns director_dns_rules
    check "it fails when the workers drop service traffic" fails alternates
    with_dns check "nobody answers a question either" fails answers_alternate
    check "what is no service traffic still passes then" linux_answers_ping client
    pvsd_restart
    director_rules
    with_dns director_dns_rules
    check "it passes again, with the addresses that outlived pvsd" alternates
    with_dns check "questions are answered again" answers_alternate
    check "pvsd killed with -9 starts again at once, addresses and routes kept" killed_and_back
}

# What concerns names, in a lab that has them.
with_dns() { ! has_dns || as_dns "$@"; }

# pvsd killed, then a command killed half-way up, three times: the next `up` starts from nothing,
# and `down` leaves nothing.
crash_leaves_nothing() {
    local half seconds
    end_process pvsd KILL
    for seconds in 0.1 0.3 0.6; do
        lab_up >/dev/null 2>&1 9>&- &
        half=$!
        sleep "$seconds"
        kill -s KILL "$half" || true
        wait "$half" || true
        # What it was in the middle of ends by itself.
        sleep 0.3
    done
    lab_up
    each_director director_rules
    alternates
    # One that nobody recorded.
    ip netns exec "$(ns client)" setsid sleep 300 >/dev/null 2>&1 9>&- &
    eventually 2 runs_in client sleep
    down_leaves_nothing
}

# runs_in HOST NAME: a process of that name does.
runs_in() { ip netns pids "$(ns "$1")" | xargs -r ps -o comm= -p | grep -qx "$2"; }

# Neither a namespace nor a process. The namespaces are held open meanwhile, so that no other lab's gets the
# number of one of them.
down_leaves_nothing() {
    local namespace held numbers=()
    for namespace in $(lab_namespaces); do
        exec {held}<"/run/netns/$namespace"
        numbers+=("net:[$(stat -Lc %i "/run/netns/$namespace")]")
    done
    more "namespaces before" 2 "${#numbers[@]}"
    lab_down
    same "namespaces left" '' "$(lab_namespaces)"
    same "processes left in them" '' "$(processes_in "${numbers[@]}")"
    [[ ! -e $run ]]
}

# processes_in NUMBER...: those in one of these namespaces.
processes_in() {
    find /proc/[0-9]*/ns/net -maxdepth 0 -printf '%l %p\n' 2>/dev/null |
        grep -F -f <(printf '%s\n' "$@") || true
}

test_lab() {
    load_lab "$1"
    # shellcheck source=/dev/null
    source "$here/test-$checks_of.sh"
    lock_lab
    lab_up
    check "without rules a connection is refused" refused
    with_dns check "without rules a question is refused" question_refused
    each_director director_rules
    checks
    with_dns fresh_dns_rules
    with_dns dns_checks_of_lab
    checks_can_fail
    if [[ $lab == nat-1 ]]; then
        check "a crash leaves nothing that up and down do not clear" crash_leaves_nothing
    elif [[ -z ${PVS_LAB_KEEP:-} ]]; then
        check "down leaves no namespace and no process" down_leaves_nothing
    fi
}

# A lab that does not even come up is a failed test, and the next one still runs.
finish() {
    local rc=$?
    trap - EXIT
    end_check
    if [[ $rc -ne 0 && -n ${lab:-} ]]; then
        printf 'FAIL %s: did not run to its end\n' "$lab"
        result 1
        failed=$((failed + 1))
        [[ -n ${PVS_LAB_KEEP:-} ]] || lab_down || true
    fi
    printf '%s %s\n' "$passed" "$failed" >"$counts"
}

# One line for each lab, of what its checks said: how many passed, or FAIL.
table() {
    printf '\n%-10s %-10s %-10s %-10s %-10s %s\n' lab TCP/IPv4 UDP/IPv4 TCP/IPv6 UDP/IPv6 seconds
    awk '
        $3 == "took" { took[$1] += $2; next }
        {
            lab = $1; sub(/-v6$/, "", lab)
            if (!(lab in seen)) { seen[lab] = 1; order[++labs] = lab }
            key = lab " " $3 $2; tried[key]++; bad[key] += $4 != 0
        }
        function cell(key) { return !tried[key] ? "-" : bad[key] ? "FAIL" : "ok (" tried[key] ")" }
        END {
            for (i = 1; i <= labs; i++) {
                lab = order[i]
                times = lab in took ? took[lab] : "-"
                if (lab "-v6" in took) times = times " + " took[lab "-v6"]
                printf "%-10s %-10s %-10s %-10s %-10s %s\n", lab, cell(lab " tcp4"), cell(lab " udp4"), \
                    cell(lab " tcp6"), cell(lab " udp6"), times
            }
        }' "$results"
    echo
}

# One lab in a shell of its own, what it says into a file.
start_lab() {
    local name=$1
    (
        passed=0 failed=0 counts=$logs/$name.counts check_log=$logs/$name.check
        trap finish EXIT
        test_lab "$name"
    ) >"$logs/$name.log" 2>&1 &
    running[$name]=$!
    begun[$name]=$SECONDS
}

# A lab that has ended: what it said, and its counts. One whose shell left none has failed.
collect_lab() {
    local name=$1 passed=0 failed=0
    wait "${running[$name]}" || true
    unset "running[$name]"
    cat "$logs/$name.log"
    read -r passed failed 2>/dev/null <"$logs/$name.counts" || failed=1
    echo "$name $((SECONDS - begun[$name])) took" >>"$results"
    total_passed=$((total_passed + passed))
    total_failed=$((total_failed + failed))
}

# Waits until fewer than so many labs run.
fewer_than() {
    local name
    while ((${#running[@]} >= $1)); do
        for name in "${!running[@]}"; do
            kill -s 0 "${running[$name]}" 2>/dev/null || collect_lab "$name"
        done
        sleep 0.1
    done
}

is_alone() { [[ " ${labs_alone[*]} " == *" $1 "* ]]; }

is_timed() { [[ " ${labs_timed[*]} " == *" $1 "* ]]; }

# What runs in the background does not get the keyboard's interrupt.
end_all() {
    local name
    for name in "${!running[@]}"; do
        kill -s TERM "${running[$name]}" 2>/dev/null || true
    done
    for name in "${!running[@]}"; do
        wait "${running[$name]}" || true
    done
    exit 130
}

# Several at a time, most of which wait; those that measure load have the machine to themselves.
run_all() {
    local name
    for name in "$@"; do
        ! is_alone "$name" || continue
        fewer_than "$jobs"
        start_lab "$name"
    done
    for name in "$@"; do
        is_alone "$name" || continue
        fewer_than 1
        start_lab "$name"
    done
    fewer_than 1
}

case ${*:-all} in
all) names=("${all_labs[@]}") ;;
alone) names=("${labs_timed[@]}" "${labs_alone[@]}") ;;
shared) names=() && for lab in "${all_labs[@]}"; do is_alone "$lab" || is_timed "$lab" || names+=("$lab"); done ;;
*) names=("$@") ;;
esac
need_root
jobs=${PVS_LAB_JOBS:-2}
logs=$(mktemp -d) results=$(mktemp)
declare -A running=() begun=()
trap 'rm -rf "$logs" "$results"' EXIT
total_passed=0 total_failed=0
trap end_all INT TERM
run_all "${names[@]}"
table
printf '%d passed, %d failed\n' "$total_passed" "$total_failed"
[[ $total_failed -eq 0 && $total_passed -gt 0 ]]
