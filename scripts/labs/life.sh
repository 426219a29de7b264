# A lab's life: up from whatever was there, down to nothing.
# shellcheck shell=bash disable=SC2034,SC2154

lab_down() {
    [[ -d $run || -n $(lab_namespaces) ]] || return 0
    end_all_processes
    each_director pvsd_remove_taps
    network_down
    rm -rf -- "$run"
}

# Everything but the rules. What was up, or left behind, goes first.
lab_up() {
    lab_down
    mkdir -p "$run"
    : >"$run/processes"
    find_binaries
    network_up
    hosts_network
    servers_up
    each_director pvsd_start
    each_director director_network
    programs_up
}
