# DR-2: direct routing with a VIP of another network, of which the router has an address.
# shellcheck shell=bash disable=SC2034

checks_of=dr-1
nobody=192.168.10.254
vip=172.16.10.81:80
segments=(clients servers)
hosts=(client router rs1 rs2)
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

hosts_network() {
    local host
    on router bash -eu <<'TYPED'
sysctl -qw net.ipv4.ip_forward=1
ip address add 172.16.10.84/24 dev eth0
TYPED
    for host in rs1 rs2; do
        on "$host" bash -eu <<'TYPED'
sysctl -qw net.ipv4.conf.all.arp_ignore=1
sysctl -qw net.ipv4.conf.all.arp_announce=2
sysctl -qw net.ipv4.conf.lo.arp_ignore=1
sysctl -qw net.ipv4.conf.lo.arp_announce=2
ip address add 172.16.10.81/32 dev lo
TYPED
    done
}

director_network() {
    on director bash -eu <<TYPED
ip address replace 192.168.10.81/24 dev $(mirror_of servers)
ip address replace 172.16.10.81/32 dev eth0
ip link set eth0 up
ip route replace default via 192.168.10.84
TYPED
}

director_rules() {
    on director bash -eu <<'TYPED'
ipvsadm -C
ipvsadm -A -t 172.16.10.81:80 -s wrr
ipvsadm -a -t 172.16.10.81:80 -r 192.168.10.71:80 -g
ipvsadm -a -t 172.16.10.81:80 -r 192.168.10.72:80 -g
TYPED
}

director_dns_rules() {
    on director bash -eu <<'TYPED'
ipvsadm -A -u 172.16.10.81:53 -s rr
ipvsadm -a -u 172.16.10.81:53 -r 192.168.10.71:53 -g
ipvsadm -a -u 172.16.10.81:53 -r 192.168.10.72:53 -g
TYPED
}
