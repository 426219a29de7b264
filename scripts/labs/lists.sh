# Long listings: the lab `changes`, a host on the segment that makes connections by the hundred thousand, and a
# table that holds them.
# shellcheck shell=bash disable=SC2034,SC2154

# shellcheck source=/dev/null
source "$labs_dir/changes.sh"

table_size=262144
hosts+=(attacker)
wires+=("attacker eth0 servers 192.168.10.90/24")

# Nobody answers those clients, who do not exist.
hosts_network() {
    on router sysctl -qw net.ipv4.ip_forward=1
    serves_directly rs2
    on switch bridge link set dev attacker-eth0 learning off
    on rs2 nft -f - <<'RULES'
table ip lab {
    chain in {
        type filter hook input priority 0;
        udp dport 9 drop
    }
}
RULES
}

director_rules() {
    on director bash -eu <<'TYPED'
ipvsadm -C
ipvsadm -A -t 192.168.10.100:80 -s rr
ipvsadm -a -t 192.168.10.100:80 -r 192.168.10.71:80 -m
ipvsadm -A -t 192.168.10.100:81 -s rr
ipvsadm -a -t 192.168.10.100:81 -r 192.168.10.72:81 -g
ipvsadm -A -u 192.168.10.100:9 -s rr
ipvsadm -a -u 192.168.10.100:9 -r 192.168.10.72:9 -g
TYPED
}
