# NAT-1: two-armed NAT, host-only network.
# A lab is: its hosts and segments; wires (host interface segment address [gateway]); the
# director's ports (mirror segment role); who serves pages (host address port). Those named rs...
# are real servers, which also answer names if there are rules for that.
# shellcheck shell=bash disable=SC2034

vip=172.20.10.8:80
dip=192.168.56.11
segments=(public inside)
hosts=(client outside rs2 rs3)
wires=(
    "client  eth0 public 172.20.10.2/24"
    "outside eth0 public 172.20.10.1/24"
    "rs2     eth0 inside 192.168.56.12/24 192.168.56.11"
    "rs3     eth0 inside 192.168.56.13/24 192.168.56.11"
)
ports=(
    "eth0 public client"
    "eth1 inside server"
)
servers=(
    "rs2     192.168.56.12 80"
    "rs3     192.168.56.13 80"
    "outside 172.20.10.1   80"
)

# Typed once pvsd has made the taps.
director_network() {
    on director bash -eu <<TYPED
ip address replace 172.20.10.8/24 dev eth0
ip address replace 192.168.56.11/24 dev $(mirror_of inside)
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
        ip saddr 192.168.56.0/24 ip daddr != 192.168.56.0/24 masquerade
    }
}
RULES
TYPED
}

director_rules() {
    on director bash -eu <<'TYPED'
ipvsadm -C
ipvsadm -A -t 172.20.10.8:80 -s rr
ipvsadm -a -t 172.20.10.8:80 -r 192.168.56.12:80 -m -w 1
ipvsadm -a -t 172.20.10.8:80 -r 192.168.56.13:80 -m -w 1
TYPED
}

director_dns_rules() {
    on director bash -eu <<'TYPED'
ipvsadm -A -u 172.20.10.8:53 -s rr
ipvsadm -a -u 172.20.10.8:53 -r 192.168.56.12:53 -m
ipvsadm -a -u 172.20.10.8:53 -r 192.168.56.13:53 -m
TYPED
}
