# A lab's life: up from whatever was there, down to nothing.
# shellcheck shell=bash disable=SC2034,SC2154

lab_down() {
    [[ -d $run || -n $(lab_namespaces) ]] || return 0
    end_all_processes
    each_director pvsd_remove_taps
    network_down
    rm -rf -- "$run"
}

# Linux looks for duplicates of an IPv6 address before it answers for it.
no_tentative_address() { [[ -z $(each_director tentative_addresses) ]]; }

tentative_addresses() { on "$director" ip -6 address show tentative; }

# Everything but the rules. What was up, or left behind, goes first.
lab_up() {
    lab_down
    mkdir -p "$run"
    : >"$run/processes"
    find_binaries
    network_up
    hosts_network
    shape_network
    servers_up
    each_director pvsd_start
    each_director director_network
    each_director shape_director
    eventually 5 no_tentative_address ||
        die "a director's IPv6 addresses do not become valid"
    programs_up
}
