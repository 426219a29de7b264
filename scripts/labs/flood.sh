# Floods: the lab `changes`, a host on the segment that sends a million frames of each kind, and a service
# whose only server does not exist. The host is in a second network of the director, so that masqueraded
# answers reach it, and those whose addresses it borrows, through the director.
# shellcheck shell=bash disable=SC2034,SC2154

# shellcheck source=/dev/null
source "$labs_dir/changes.sh"

hosts+=(attacker)
wires+=("attacker eth0 servers 10.40.0.90/16 10.40.0.81")

# The attacker's many hardware addresses are none of the switch's business.
hosts_network() {
    on router sysctl -qw net.ipv4.ip_forward=1
    serves_directly rs2
    on switch bridge link set dev attacker-eth0 learning off
}

director_network() {
    on director bash -eu <<TYPED
ip address replace 192.168.10.81/24 dev $(mirror_of servers)
ip address replace 10.40.0.81/16 dev $(mirror_of servers)
ip address replace 192.168.10.100/32 dev eth0
ip link set eth0 up
ip route replace default via 192.168.10.84
TYPED
    remember_each_other
}

# All hosts of a lab share one kernel and so one table of neighbours: a flood that fills the director's would have
# the others forget theirs too. With what they have for good, only the director's Linux suffers, as on a real segment.
remember_each_other() {
    local mirror
    mirror=$(mirror_of servers)
    knows client eth0 192.168.30.10 router eth1
    knows router eth1 192.168.30.100 client eth0
    knows router eth0 192.168.10.72 rs2 eth0
    knows router eth0 192.168.10.81 director "$mirror"
    knows router "$towards_vip" 192.168.10.100 director eth0
    knows rs1 eth0 192.168.10.81 director "$mirror"
    knows rs2 eth0 192.168.10.84 router eth0
    knows attacker eth0 10.40.0.81 director "$mirror"
}

director_rules() {
    on director bash -eu <<'TYPED'
ipvsadm -C
ipvsadm -A -t 192.168.10.100:80 -s rr
ipvsadm -a -t 192.168.10.100:80 -r 192.168.10.71:80 -m
ipvsadm -A -t 192.168.10.100:81 -s rr
ipvsadm -a -t 192.168.10.100:81 -r 192.168.10.72:81 -g
ipvsadm -A -u 192.168.10.100:9 -s rr
ipvsadm -a -u 192.168.10.100:9 -r 192.168.10.66:9 -g
TYPED
}
