# NAT-3: statistics, save and restore. The client has no gateway. The pad makes the answers as
# long as the tutorial's, so that its byte counts come out.
# shellcheck shell=bash disable=SC2034

vip=172.16.10.81:80
page_pad=95
segments=(public inside)
hosts=(client rs1 rs2)
wires=(
    "client eth0 public 172.16.10.100/24"
    "rs1    eth0 inside 192.168.10.71/24 192.168.10.81"
    "rs2    eth0 inside 192.168.10.72/24 192.168.10.81"
)
ports=(
    "eth0 public client"
    "eth1 inside server"
)
servers=(
    "rs1 192.168.10.71 80"
    "rs2 192.168.10.72 80"
)

director_network() {
    on director bash -eu <<TYPED
ip address replace 172.16.10.81/24 dev eth0
ip address replace 192.168.10.81/24 dev $(mirror_of inside)
ip link set eth0 up
ip link set $(mirror_of inside) up
sysctl -qw net.ipv4.ip_forward=1
TYPED
}

director_rules() {
    on director bash -eu <<'TYPED'
ipvsadm -C
ipvsadm -A -t 172.16.10.81:80 -s wrr
ipvsadm -a -t 172.16.10.81:80 -r 192.168.10.71 -m
ipvsadm -a -t 172.16.10.81:80 -r 192.168.10.72 -m
TYPED
}

director_dns_rules() {
    on director bash -eu <<'TYPED'
ipvsadm -A -u 172.16.10.81:53 -s rr
ipvsadm -a -u 172.16.10.81:53 -r 192.168.10.71:53 -m
ipvsadm -a -u 172.16.10.81:53 -r 192.168.10.72:53 -m
TYPED
}
