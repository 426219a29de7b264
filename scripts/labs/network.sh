# Hosts and segments: a host is a network namespace, a segment is a bridge in the switch's
# namespace. Some namespaces are no hosts of the tutorial: `switch`, and for each director a `nic`,
# which holds the ports of pvsd (a kernel interface that is a port must not share the mirror's
# namespace).
# shellcheck shell=bash disable=SC2034,SC2154

add_namespace() {
    ip netns add "$(ns "$1")"
    ip -n "$(ns "$1")" link set lo up
    # What a fresh namespace inherits depends on the machine; a lab shall not.
    on "$1" sysctl -qw net.ipv4.ip_forward=0 \
        net.ipv4.conf.{all,default}.{rp_filter,arp_ignore,arp_announce}=0 \
        net.ipv6.conf.{all,default}.{disable_ipv6,forwarding,accept_ra}=0 \
        net.ipv{4,6}.conf.{all,default}.accept_redirects=0
}

# The switch and the nic have no business with IP.
silence_ipv6() { on "$1" sysctl -qw net.ipv6.conf.{all,default}.disable_ipv6=1; }

add_segment() {
    ip -n "$(ns switch)" link add "$1" type bridge stp_state 0 forward_delay 0 mcast_snooping 0
    ip -n "$(ns switch)" link set "$1" up
}

# cable HOST INTERFACE SEGMENT: a veth pair, both ends up. Without transmit checksum offload the
# kernel fills in whole checksums and cuts segments itself, as a wire needs it.
cable() {
    local host=$1 interface=$2 segment=$3 far
    far=$host-$interface
    ip -n "$(ns "$host")" link add "$interface" type veth peer name "$far" netns "$(ns switch)"
    on "$host" ethtool -K "$interface" tx off >/dev/null
    on switch ethtool -K "$far" tx off >/dev/null
    ip -n "$(ns switch)" link set "$far" master "$segment" up
    ip -n "$(ns "$host")" link set "$interface" up
}

# A director's namespace, and its ports in that of its nic.
director_up() {
    local nic port segment number=0
    nic=$(nic_of "$director")
    add_namespace "$director"
    add_namespace "$nic"
    silence_ipv6 "$nic"
    for port in "${ports[@]}"; do
        read -r _ segment _ <<<"$port"
        cable "$nic" "d$number" "$segment"
        number=$((number + 1))
    done
}

# plug HOST INTERFACE SEGMENT ADDRESS [GATEWAY]. No host but the director looks for duplicates of
# its IPv6 addresses, which would take a second.
plug() {
    local host=$1 interface=$2 segment=$3 address=$4 gateway=${5:-} flags=()
    [[ $address != *:* ]] || flags=(nodad)
    cable "$host" "$interface" "$segment"
    ip -n "$(ns "$host")" address add "$address" dev "$interface" "${flags[@]}"
    [[ -z $gateway ]] || ip -n "$(ns "$host")" route add default via "$gateway"
}

# mac_of HOST INTERFACE: its hardware address.
mac_of() { on "$1" cat "/sys/class/net/$2/address"; }

# knows HOST INTERFACE ADDRESS OTHER ITS-INTERFACE: the other host's hardware address, for good.
knows() {
    on "$1" ip neighbour replace "$3" lladdr "$(mac_of "$4" "$5")" dev "$2" nud permanent
}

network_up() {
    local host segment wire
    for host in switch "${hosts[@]}"; do
        add_namespace "$host"
    done
    silence_ipv6 switch
    for segment in "${segments[@]}"; do
        add_segment "$segment"
    done
    for wire in "${wires[@]}"; do
        # shellcheck disable=SC2086
        plug $wire
    done
    each_director director_up
}

# The namespaces of this lab that exist, whoever made them: also those of a crashed run.
lab_namespaces() {
    local prefix
    prefix=$(ns '')
    ip netns list | awk -v prefix="$prefix" 'index($1, prefix) == 1 { print $1 }'
}

# Processes that nobody recorded would keep a namespace that has lost its name.
end_strangers() {
    local pids
    mapfile -t pids < <(ip netns pids "$1")
    [[ ${#pids[@]} -gt 0 ]] || return 0
    say "lab: ends what is left in $1: $(ps -o comm= -p "${pids[*]}" | tr '\n' ' ')"
    kill -s KILL "${pids[@]}" 2>/dev/null || true
    eventually 5 is_empty "$1" || die "$1 does not become empty"
}

# A zombie has left its namespace.
is_empty() { [[ -z $(ip netns pids "$1") ]]; }

network_down() {
    local namespace
    for namespace in $(lab_namespaces); do
        end_strangers "$namespace"
        ip netns delete "$namespace"
    done
}
