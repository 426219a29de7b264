# TUN-1: IP tunnelling, the client behind a router, which also leads to a server's network that is
# not the director's.
# shellcheck shell=bash disable=SC2034,SC2154

vip=192.168.137.65:80
nobody=192.168.137.254
tunnel_packets="ip proto 4" mtu=1480
mixed_packets="ip6 proto 4" mixed_mtu=1460 mixed_rs1=fd00:192:168:137::61
segments=(clients servers elsewhere)
hosts=(client router rs1 rs2 far)
wires=(
    "client eth0 clients   192.168.30.100/24 192.168.30.10"
    "router eth0 servers   192.168.137.84/24"
    "router eth1 clients   192.168.30.10/24"
    "router eth2 elsewhere 192.168.138.84/24"
    "rs1    eth0 servers   192.168.137.61/24 192.168.137.84"
    "rs2    eth0 servers   192.168.137.62/24 192.168.137.84"
    "far    eth0 elsewhere 192.168.138.63/24 192.168.138.84"
)
ports=(
    "eth0 servers both"
)
servers=(
    "rs1 192.168.137.61 80"
    "rs2 192.168.137.62 80"
    "far 192.168.138.63 80"
)

hosts_network() {
    local host
    on router sysctl -qw net.ipv4.ip_forward=1
    for host in rs1 rs2 far; do
        tunnel_end "$host" tunl0 4
        on "$host" bash -eu <<'TYPED'
ip address add 192.168.137.65/32 dev tunl0
ip link set tunl0 up
sysctl -qw net.ipv4.conf.tunl0.arp_ignore=1
sysctl -qw net.ipv4.conf.tunl0.arp_announce=2
sysctl -qw net.ipv4.conf.all.arp_ignore=1
sysctl -qw net.ipv4.conf.all.arp_announce=2
sysctl -qw net.ipv4.conf.tunl0.rp_filter=0
sysctl -qw net.ipv4.conf.all.rp_filter=0
TYPED
    done
}

director_network() {
    on director bash -eu <<TYPED
ip address replace 192.168.137.60/24 dev $(mirror_of servers)
ip address replace 192.168.137.65/32 dev eth0
ip link set eth0 up
ip route replace default via 192.168.137.84
TYPED
}

director_rules() {
    on director bash -eu <<'TYPED'
ipvsadm -C
ipvsadm -A -t 192.168.137.65:80 -s rr
ipvsadm -a -t 192.168.137.65:80 -r 192.168.137.61 -i
ipvsadm -a -t 192.168.137.65:80 -r 192.168.137.62 -i
TYPED
}

director_dns_rules() {
    on director bash -eu <<'TYPED'
ipvsadm -A -u 192.168.137.65:53 -s rr
ipvsadm -a -u 192.168.137.65:53 -r 192.168.137.61 -i
ipvsadm -a -u 192.168.137.65:53 -r 192.168.137.62 -i
TYPED
}

# The server in the other network instead of rs1.
rules_elsewhere() {
    on director bash -eu <<'TYPED'
ipvsadm -a -t 192.168.137.65:80 -r 192.168.138.63 -i
ipvsadm -d -t 192.168.137.65:80 -r 192.168.137.61
TYPED
}

# The first server over IPv6; the service stays in IPv4.
mixed_network() {
    tunnel_end rs1 mixed0 6
    on rs1 bash -eu <<'TYPED'
ip address add fd00:192:168:137::61/64 dev eth0 nodad
ip link set mixed0 up
sysctl -qw net.ipv4.conf.mixed0.rp_filter=0
TYPED
    on director ip address add fd00:192:168:137::60/64 dev "$(mirror_of servers)"
    eventually 5 no_tentative_address
}

rules_mixed() {
    on director bash -eu <<'TYPED'
ipvsadm -a -t 192.168.137.65:80 -r [fd00:192:168:137::61]:80 -i
ipvsadm -d -t 192.168.137.65:80 -r 192.168.137.61
TYPED
}
