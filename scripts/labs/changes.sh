# Neighbours that change while a download runs: one segment, a server behind address translation (port
# 80) and one behind direct routing (port 81), the client behind a router.
# shellcheck shell=bash disable=SC2034

vip=192.168.10.100:80
segments=(clients servers)
hosts=(client router rs1 rs2)
wires=(
    "client eth0 clients 192.168.30.100/24 192.168.30.10"
    "router eth0 servers 192.168.10.84/24"
    "router eth1 clients 192.168.30.10/24"
    "rs1    eth0 servers 192.168.10.71/24 192.168.10.81"
    "rs2    eth0 servers 192.168.10.72/24 192.168.10.84"
)
ports=(
    "eth0 servers both"
)
servers=(
    "rs1 192.168.10.71 80"
    "rs2 192.168.10.72 81"
)

hosts_network() {
    on router sysctl -qw net.ipv4.ip_forward=1
    serves_directly rs2
}

director_network() {
    on director bash -eu <<TYPED
ip address replace 192.168.10.81/24 dev $(mirror_of servers)
ip address replace 192.168.10.100/32 dev eth0
ip link set eth0 up
ip route replace default via 192.168.10.84
TYPED
}

director_rules() {
    on director bash -eu <<'TYPED'
ipvsadm -C
ipvsadm -A -t 192.168.10.100:80 -s rr
ipvsadm -a -t 192.168.10.100:80 -r 192.168.10.71:80 -m
ipvsadm -A -t 192.168.10.100:81 -s rr
ipvsadm -a -t 192.168.10.100:81 -r 192.168.10.72:81 -g
TYPED
}
