# DR-1 in IPv6. Its checks are those of DR-1. The servers need no setting beside the VIP on lo:
# Linux answers a neighbour's question only for addresses of the interface it came in by. There is
# no variant without a port behind -r: ipvsadm takes no address in brackets without one.
# shellcheck shell=bash disable=SC2034

nobody=fd00:192:168:10::254
vip="[fd00:192:168:10::100]:80"
segments=(clients servers)
hosts=(client router rs1 rs2)
wires=(
    "client eth0 clients fd00:192:168:30::100/64 fd00:192:168:30::10"
    "router eth0 servers fd00:192:168:10::84/64"
    "router eth1 clients fd00:192:168:30::10/64"
    "rs1    eth0 servers fd00:192:168:10::71/64 fd00:192:168:10::84"
    "rs2    eth0 servers fd00:192:168:10::72/64 fd00:192:168:10::84"
)
ports=(
    "eth0 servers both"
)
servers=(
    "rs1 fd00:192:168:10::71 80"
    "rs2 fd00:192:168:10::72 80"
)

hosts_network() {
    local host
    on router sysctl -qw net.ipv6.conf.all.forwarding=1
    for host in rs1 rs2; do
        on "$host" ip address add fd00:192:168:10::100/128 dev lo
    done
}

director_network() {
    on director bash -eu <<TYPED
ip address replace fd00:192:168:10::81/64 dev $(mirror_of servers)
ip address replace fd00:192:168:10::100/128 dev eth0
ip link set eth0 up
ip route replace default via fd00:192:168:10::84
TYPED
}

director_rules() {
    on director bash -eu <<'TYPED'
ipvsadm -C
ipvsadm -A -t [fd00:192:168:10::100]:80 -s rr
ipvsadm -a -t [fd00:192:168:10::100]:80 -r [fd00:192:168:10::71]:80 -g
ipvsadm -a -t [fd00:192:168:10::100]:80 -r [fd00:192:168:10::72]:80 -g
TYPED
}

vip_as_alias() {
    on director bash -eu <<'TYPED'
ip address delete fd00:192:168:10::100/128 dev eth0
ip address add fd00:192:168:10::100/64 dev eth0
TYPED
}

director_dns_rules() {
    on director bash -eu <<'TYPED'
ipvsadm -A -u [fd00:192:168:10::100]:53 -s rr
ipvsadm -a -u [fd00:192:168:10::100]:53 -r [fd00:192:168:10::71]:53 -g
ipvsadm -a -u [fd00:192:168:10::100]:53 -r [fd00:192:168:10::72]:53 -g
TYPED
}
