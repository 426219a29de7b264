# BGP: two directors announce one VIP to a router, which spreads the clients over both. BIRD runs on each
# director's mirror and on the router; the servers are behind direct routing.
# shellcheck shell=bash disable=SC2034,SC2154

vip=10.99.0.1:80
segments=(clients servers)
# The way that is announced is an address among the servers.
one_segment=1
hosts=(client router rs1 rs2)
directors=(director1 director2)
wires=(
    "client eth0 clients 192.168.30.100/24 192.168.30.10"
    "router eth0 servers 192.168.10.84/24"
    "router eth1 clients 192.168.30.10/24"
    "rs1    eth0 servers 192.168.10.71/24 192.168.10.84"
    "rs2    eth0 servers 192.168.10.72/24 192.168.10.84"
)
ports=(
    "eth0 servers both"
)
servers=(
    "rs1 192.168.10.71 80"
    "rs2 192.168.10.72 80"
)

# The router chooses by addresses and ports, so that one client's connections go both ways.
hosts_network() {
    on router sysctl -qw net.ipv4.ip_forward=1 net.ipv4.fib_multipath_hash_policy=1
    serves_directly rs1 rs2
}

director_network() {
    on "$director" bash -eu <<TYPED
ip address replace 192.168.10.8${director#director}/24 dev eth0
ip link set eth0 up
ip route replace default via 192.168.10.84
ip address replace 10.99.0.1/32 dev lo
TYPED
}

director_rules() {
    on "$director" bash -eu <<'TYPED'
ipvsadm -C
ipvsadm -A -t 10.99.0.1:80 -s rr
ipvsadm -a -t 10.99.0.1:80 -r 192.168.10.71:80 -g
ipvsadm -a -t 10.99.0.1:80 -r 192.168.10.72:80 -g
TYPED
}

# What both sides begin with. BFD tells within a second and a half that a director is gone.
bird_common() {
    cat <<EOF
log stderr all;
router id $1;
protocol device {
    scan time 5;
}
protocol bfd {
    interface "eth0" {
        interval 300 ms;
        multiplier 5;
    };
}
EOF
}

# The director announces the VIP while it has it. The waits are short, so that a session that was lost
# is back soon: with BIRD's own that takes a minute and more.
bird_config_director() {
    local own=192.168.10.8${director#director}
    bird_common "$own"
    cat <<EOF
protocol direct vips {
    ipv4;
    interface "lo";
}
protocol bgp upstream {
    local $own as 65001;
    neighbor 192.168.10.84 as 65000;
    bfd on;
    connect delay time 1;
    connect retry time 1;
    error wait time 1, 2;
    ipv4 {
        import none;
        export where net = 10.99.0.1/32;
    };
}
EOF
}

bird_config_router() {
    local number
    bird_common 192.168.10.84
    cat <<EOF
protocol kernel {
    merge paths on;
    ipv4 {
        export all;
    };
}
EOF
    for number in 1 2; do
        cat <<EOF
protocol bgp director$number {
    local 192.168.10.84 as 65000;
    neighbor 192.168.10.8$number as 65001;
    bfd on;
    connect delay time 1;
    connect retry time 1;
    error wait time 1, 2;
    ipv4 {
        import where net = 10.99.0.1/32;
        export none;
    };
}
EOF
    done
}

# bird_start HOST: all its files in the lab's directory.
bird_start() {
    local host=$1
    spawn "bird-$host" "$host" "$run/bird-$host.log" bird -f -c "$run/bird-$host.conf" \
        -s "$run/bird-$host.ctl" -P "$run/bird-$host.pid"
}

director_bird_start() {
    bird_config_director >"$run/bird-$director.conf"
    bird_start "$director"
}

# The directors by which the router reaches the VIP, by their addresses.
ways() {
    on router ip -j route show "${vip%:*}" |
        jq -r '.[] | (.nexthops // [.])[] | .gateway' | sort | tr '\n' ' '
}

ways_are() { [[ $(ways) == "$1" ]]; }

both_ways="192.168.10.81 192.168.10.82 "

programs_up() {
    bird_config_router >"$run/bird-router.conf"
    bird_start router
    each_director director_bird_start
    eventually 20 ways_are "$both_ways" || die "the router does not learn both ways: $(ways)"
}
