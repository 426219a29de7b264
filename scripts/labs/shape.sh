# The shape of a lab: workers, receive queues, ports. A lab has a shape of its own; these turn its description
# into another one: PVS_LAB_WORKERS, PVS_LAB_QUEUES, PVS_LAB_STEERING, PVS_LAB_PORTS; and
# PVS_LAB_DRIVER, af_packet or af_xdp.
# shellcheck shell=bash disable=SC2034,SC2154

# The shape that is asked for; a description may say otherwise.
asked_shape() {
    workers=${PVS_LAB_WORKERS:-1} queues=${PVS_LAB_QUEUES:-1} steering=${PVS_LAB_STEERING:-auto}
    driver=${PVS_LAB_DRIVER:-af_packet} towards_vip=eth0 one_segment=0
}

# By address translation clients and servers are on two segments, with a port on each, or on one; by direct
# routing and tunnels on one, or the clients have a port of their own.
shape_ports() {
    case ${PVS_LAB_PORTS:-own}-${#ports[@]} in
    1-2) one_armed ;;
    2-1) ((one_segment)) || two_armed ;;
    esac
}

# Both networks on the first segment, behind one port that has both addresses.
one_armed() {
    wires=("${wires[@]/ ${segments[1]} / ${segments[0]} }")
    segments=("${segments[0]}")
    ports=("eth0 ${segments[0]} both")
}

# The VIP moves to a segment that only the router is on; what else the director has stays with the servers.
two_armed() {
    front=198.18.0.8 front_length=24
    [[ $vip != \[* ]] || front=2001:2::8 front_length=48
    segments+=(front)
    wires+=("router eth9 front ${front}4/$front_length")
    ports=("eth0 front client" "eth1 servers server")
    towards_vip=eth9
    # It would be one on the servers' side, where no client comes from.
    unset -f vip_as_alias
}

# The router finds the VIP on that segment, whatever network it is from.
shape_network() {
    [[ $towards_vip == eth0 ]] || on router ip "-$family" route add "$vip_address" dev "$towards_vip"
}

# The director's own address there, by which keepalived speaks.
shape_director() {
    local number=${director#director}
    [[ $towards_vip == eth0 ]] ||
        on "$director" ip address replace "$front${number:-1}/$front_length" dev eth0
}

# mirror_of SEGMENT: the director's interface there.
mirror_of() {
    local port mirror segment
    for port in "${ports[@]}"; do
        read -r mirror segment _ <<<"$port"
        [[ $segment != "$1" ]] || { echo "$mirror" && return; }
    done
    echo "${ports[0]%% *}"
}
