#!/usr/bin/env bash
# shellcheck disable=SC2154
# Tests of the labs: `scripts/lab test LAB... | all`. Each lab comes up, shows what the tutorial
# shows, shows that this needs pvsd and its workers, and goes down. The last line counts.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
for part in lib process network servers director life check listings; do
    # shellcheck source=/dev/null
    source "$here/$part.sh"
done

# Every lab's checks may have passed by accident; these show that they can fail.
checks_can_fail() {
    pvsd_stop
    check "the first check fails when pvsd is stopped" fails alternates
    pvsd_start true
    director_rules
    check "it fails when the workers drop service traffic" fails alternates
    check "what is no service traffic still passes then" linux_answers_ping client
    pvsd_restart
    director_rules
    check "it passes again, with the addresses that outlived pvsd" alternates
    check "pvsd killed with -9 starts again at once, addresses and routes kept" killed_and_back
}

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
    lab_down
    mkdir -p "$run"
    same "namespaces left" '' "$(lab_namespaces)"
}

test_lab() {
    load_lab "$1"
    # shellcheck source=/dev/null
    source "$here/test-$lab.sh"
    lock_lab
    lab_up
    check "without rules a connection is refused" refused
    each_director director_rules
    checks
    checks_can_fail
    [[ $lab != nat-1 ]] || check "a crash leaves nothing that up and down do not clear" \
        crash_leaves_nothing
    [[ -n ${PVS_LAB_KEEP:-} ]] || lab_down
}

# A lab that does not even come up is a failed test, and the next one still runs.
finish() {
    local rc=$?
    trap - EXIT
    if [[ $rc -ne 0 && -n ${lab:-} ]]; then
        printf 'FAIL %s: did not run to its end\n' "$lab"
        failed=$((failed + 1))
        [[ -n ${PVS_LAB_KEEP:-} ]] || lab_down || true
    fi
    printf '%s %s\n' "$passed" "$failed" >"$counts"
}

names=("$@")
[[ $# -gt 0 ]] || names=("${all_labs[@]}")
[[ $* != all ]] || names=("${all_labs[@]}")
need_root
counts=$(mktemp)
trap 'rm -f "$counts"' EXIT
total_passed=0 total_failed=0
# What runs in the background does not get the keyboard's interrupt.
trap 'kill -s TERM "$child" 2>/dev/null; wait "$child"; exit 130' INT TERM
for name in "${names[@]}"; do
    passed=0 failed=0
    (
        trap finish EXIT
        test_lab "$name"
    ) &
    child=$!
    wait "$child" || true
    # A lab whose shell left no counts has failed.
    read -r passed failed <"$counts" || failed=1
    : >"$counts"
    total_passed=$((total_passed + passed))
    total_failed=$((total_failed + failed))
done
printf '%d passed, %d failed\n' "$total_passed" "$total_failed"
[[ $total_failed -eq 0 && $total_passed -gt 0 ]]
