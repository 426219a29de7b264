# NAT-2: port mapping, 80 at the virtual address to 8080 at the servers, and 53 to 5353.
# shellcheck shell=bash disable=SC2034

vip=172.20.10.3:80
dns_port=5353
segments=(public inside)
hosts=(client outside rs1 rs2)
wires=(
    "client  eth0 public 172.20.10.2/24"
    "outside eth0 public 172.20.10.1/24"
    "rs1     eth0 inside 192.168.137.53/24 192.168.137.52"
    "rs2     eth0 inside 192.168.137.54/24 192.168.137.52"
)
ports=(
    "eth0 public client"
    "eth1 inside server"
)
servers=(
    "rs1     192.168.137.53 8080"
    "rs2     192.168.137.54 8080"
    "outside 172.20.10.1    80"
)

director_network() {
    on director bash -eu <<TYPED
ip address replace 172.20.10.3/24 dev eth0
ip address replace 192.168.137.52/24 dev $(mirror_of inside)
ip link set eth0 up
ip link set $(mirror_of inside) up
sysctl -qw net.ipv4.ip_forward=1
sysctl -qw net.ipv4.conf.all.send_redirects=0
nft -f - <<'RULES'
table ip lab
delete table ip lab
table ip lab {
    chain postrouting {
        type nat hook postrouting priority srcnat;
        ip saddr 192.168.137.0/24 ip daddr != 192.168.137.0/24 masquerade
    }
}
RULES
TYPED
}

director_rules() {
    on director bash -eu <<'TYPED'
ipvsadm -C
ipvsadm -A -t 172.20.10.3:80 -s rr
ipvsadm -a -t 172.20.10.3:80 -r 192.168.137.53:8080 -m
ipvsadm -a -t 172.20.10.3:80 -r 192.168.137.54:8080 -m
TYPED
}

director_dns_rules() {
    on director bash -eu <<'TYPED'
ipvsadm -A -u 172.20.10.3:53 -s rr
ipvsadm -a -u 172.20.10.3:53 -r 192.168.137.53:5353 -m
ipvsadm -a -u 172.20.10.3:53 -r 192.168.137.54:5353 -m
TYPED
}
