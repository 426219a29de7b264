# Two workers: a service by masquerading (port 80) and one by direct routing (port 81) on one segment, two
# servers each, the client behind a router.
# shellcheck shell=bash disable=SC2034

workers=2 queues=1 steering=ring
vip=192.168.10.100:80
segments=(clients servers)
hosts=(client router rs1 rs2 rs3 rs4)
wires=(
    "client eth0 clients 192.168.30.100/24 192.168.30.10"
    "router eth0 servers 192.168.10.84/24"
    "router eth1 clients 192.168.30.10/24"
    "rs1    eth0 servers 192.168.10.71/24 192.168.10.81"
    "rs2    eth0 servers 192.168.10.72/24 192.168.10.81"
    "rs3    eth0 servers 192.168.10.73/24 192.168.10.84"
    "rs4    eth0 servers 192.168.10.74/24 192.168.10.84"
)
ports=(
    "eth0 servers both"
)
servers=(
    "rs1 192.168.10.71 80"
    "rs2 192.168.10.72 80"
    "rs3 192.168.10.73 81"
    "rs4 192.168.10.74 81"
)

hosts_network() {
    on router sysctl -qw net.ipv4.ip_forward=1
    serves_directly rs3 rs4
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
ipvsadm -a -t 192.168.10.100:80 -r 192.168.10.72:80 -m
TYPED
    director_direct_rules
}

director_direct_rules() {
    on director bash -eu <<'TYPED'
ipvsadm -A -t 192.168.10.100:81 -s rr
ipvsadm -a -t 192.168.10.100:81 -r 192.168.10.73:81 -g
ipvsadm -a -t 192.168.10.100:81 -r 192.168.10.74:81 -g
TYPED
}
