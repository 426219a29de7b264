# TUN-1 in IPv6. Its checks are those of TUN-1. The servers need no setting beside the VIP on the
# tunnel's device (see dr-1-v6.sh).
# shellcheck shell=bash disable=SC2034,SC2154

vip="[fd00:192:168:137::65]:80"
nobody=fd00:192:168:137::254
tunnel_packets="ip6 proto 41" mtu=1460
mixed_packets="ip proto 41" mixed_mtu=1480 mixed_rs1=192.168.137.61
segments=(clients servers elsewhere)
hosts=(client router rs1 rs2 far)
wires=(
    "client eth0 clients   fd00:192:168:30::100/64 fd00:192:168:30::10"
    "router eth0 servers   fd00:192:168:137::84/64"
    "router eth1 clients   fd00:192:168:30::10/64"
    "router eth2 elsewhere fd00:192:168:138::84/64"
    "rs1    eth0 servers   fd00:192:168:137::61/64 fd00:192:168:137::84"
    "rs2    eth0 servers   fd00:192:168:137::62/64 fd00:192:168:137::84"
    "far    eth0 elsewhere fd00:192:168:138::63/64 fd00:192:168:138::84"
)
ports=(
    "eth0 servers both"
)
servers=(
    "rs1 fd00:192:168:137::61 80"
    "rs2 fd00:192:168:137::62 80"
    "far fd00:192:168:138::63 80"
)

hosts_network() {
    local host
    on router sysctl -qw net.ipv6.conf.all.forwarding=1
    for host in rs1 rs2 far; do
        tunnel_end "$host" ip6tnl0 6
        on "$host" bash -eu <<'TYPED'
ip address add fd00:192:168:137::65/128 dev ip6tnl0
ip link set ip6tnl0 up
TYPED
    done
}

director_network() {
    on director bash -eu <<TYPED
ip address replace fd00:192:168:137::60/64 dev $(mirror_of servers)
ip address replace fd00:192:168:137::65/128 dev eth0
ip link set eth0 up
ip route replace default via fd00:192:168:137::84
TYPED
}

director_rules() {
    on director bash -eu <<'TYPED'
ipvsadm -C
ipvsadm -A -t [fd00:192:168:137::65]:80 -s rr
ipvsadm -a -t [fd00:192:168:137::65]:80 -r [fd00:192:168:137::61]:80 -i
ipvsadm -a -t [fd00:192:168:137::65]:80 -r [fd00:192:168:137::62]:80 -i
TYPED
}

director_dns_rules() {
    on director bash -eu <<'TYPED'
ipvsadm -A -u [fd00:192:168:137::65]:53 -s rr
ipvsadm -a -u [fd00:192:168:137::65]:53 -r [fd00:192:168:137::61]:53 -i
ipvsadm -a -u [fd00:192:168:137::65]:53 -r [fd00:192:168:137::62]:53 -i
TYPED
}

# The server in the other network instead of rs1.
rules_elsewhere() {
    on director bash -eu <<'TYPED'
ipvsadm -a -t [fd00:192:168:137::65]:80 -r [fd00:192:168:138::63]:80 -i
ipvsadm -d -t [fd00:192:168:137::65]:80 -r [fd00:192:168:137::61]:80
TYPED
}

# The first server over IPv4; the service stays in IPv6.
mixed_network() {
    tunnel_end rs1 mixed0 4
    on rs1 bash -eu <<'TYPED'
ip address add 192.168.137.61/24 dev eth0
ip link set mixed0 up
TYPED
    on director ip address add 192.168.137.60/24 dev "$(mirror_of servers)"
}

rules_mixed() {
    on director bash -eu <<'TYPED'
ipvsadm -a -t [fd00:192:168:137::65]:80 -r 192.168.137.61:80 -i
ipvsadm -d -t [fd00:192:168:137::65]:80 -r [fd00:192:168:137::61]:80
TYPED
}
