# NAT-1 in IPv6. Its checks are those of NAT-1.
# shellcheck shell=bash disable=SC2034

vip="[fd00:172:20:10::8]:80"
dip=fd00:192:168:56::11
segments=(public inside)
hosts=(client outside rs2 rs3)
wires=(
    "client  eth0 public fd00:172:20:10::2/64"
    "outside eth0 public fd00:172:20:10::1/64"
    "rs2     eth0 inside fd00:192:168:56::12/64 fd00:192:168:56::11"
    "rs3     eth0 inside fd00:192:168:56::13/64 fd00:192:168:56::11"
)
ports=(
    "eth0 public client"
    "eth1 inside server"
)
servers=(
    "rs2     fd00:192:168:56::12 80"
    "rs3     fd00:192:168:56::13 80"
    "outside fd00:172:20:10::1   80"
)

director_network() {
    on director bash -eu <<TYPED
ip address replace fd00:172:20:10::8/64 dev eth0
ip address replace fd00:192:168:56::11/64 dev $(mirror_of inside)
ip link set eth0 up
ip link set $(mirror_of inside) up
sysctl -qw net.ipv6.conf.all.forwarding=1
nft -f - <<'RULES'
table ip6 lab
delete table ip6 lab
table ip6 lab {
    chain postrouting {
        type nat hook postrouting priority srcnat;
        ip6 saddr fd00:192:168:56::/64 ip6 daddr != fd00:192:168:56::/64 masquerade
    }
}
RULES
TYPED
}

director_rules() {
    on director bash -eu <<'TYPED'
ipvsadm -C
ipvsadm -A -t [fd00:172:20:10::8]:80 -s rr
ipvsadm -a -t [fd00:172:20:10::8]:80 -r [fd00:192:168:56::12]:80 -m -w 1
ipvsadm -a -t [fd00:172:20:10::8]:80 -r [fd00:192:168:56::13]:80 -m -w 1
TYPED
}

director_dns_rules() {
    on director bash -eu <<'TYPED'
ipvsadm -A -u [fd00:172:20:10::8]:53 -s rr
ipvsadm -a -u [fd00:172:20:10::8]:53 -r [fd00:192:168:56::12]:53 -m
ipvsadm -a -u [fd00:172:20:10::8]:53 -r [fd00:192:168:56::13]:53 -m
TYPED
}
