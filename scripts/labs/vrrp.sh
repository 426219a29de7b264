# VRRP: two directors on one segment, direct routing. keepalived on each director's mirror moves the
# VIP and nothing else: the rules are in both directors' pvsd all the time, and a service takes
# packets only where its address is.
# shellcheck shell=bash disable=SC2034,SC2154

vip=192.168.10.100:80
segments=(clients servers)
hosts=(client router rs1 rs2 attacker)
directors=(director1 director2)
wires=(
    "client eth0 clients 192.168.30.100/24 192.168.30.10"
    "router eth0 servers 192.168.10.84/24"
    "router eth1 clients 192.168.30.10/24"
    "rs1    eth0 servers 192.168.10.71/24 192.168.10.84"
    "rs2    eth0 servers 192.168.10.72/24 192.168.10.84"
    "attacker eth0 servers 192.168.10.90/24"
)
ports=(
    "eth0 servers both"
)
servers=(
    "rs1 192.168.10.71 80"
    "rs2 192.168.10.72 80"
)

hosts_network() {
    on router sysctl -qw net.ipv4.ip_forward=1
    serves_directly rs1 rs2
    on switch bridge link set dev attacker-eth0 learning off
}

director_network() {
    on "$director" bash -eu <<TYPED
ip address replace 192.168.10.8${director#director}/24 dev $(mirror_of servers)
ip link set eth0 up
ip route replace default via 192.168.10.84
# With a full table of neighbours Linux sends nothing to a group that is not in it.
ip neighbour replace 224.0.0.18 lladdr 01:00:5e:00:00:12 dev eth0 nud permanent
TYPED
}

director_rules() {
    on "$director" bash -eu <<'TYPED'
ipvsadm -C
ipvsadm -A -t 192.168.10.100:80 -s rr
ipvsadm -a -t 192.168.10.100:80 -r 192.168.10.71:80 -g
ipvsadm -a -t 192.168.10.100:80 -r 192.168.10.72:80 -g
TYPED
}

# Further lines of the instance: see vrrp-vmac.sh.
vrrp_options=

# The first director is the master while it lives. This is the whole of keepalived's part: no
# virtual_server, which would be for the kernel's IPVS.
keepalived_config() {
    local priority=150
    [[ $director == director1 ]] || priority=100
    cat <<EOF
global_defs {
    router_id $director
    vrrp_garp_master_refresh 10
}
vrrp_instance web {
    interface eth0
    $vrrp_options
    state BACKUP
    virtual_router_id 51
    priority $priority
    advert_int 1
    virtual_ipaddress {
        192.168.10.100/32
    }
}
EOF
}

keepalived_of() { printf '%s\n' "${1/director/keepalived}"; }

# VRRP only, all its files in the lab's directory.
keepalived_start() {
    local name
    name=$(keepalived_of "$director")
    keepalived_config >"$run/$name.conf"
    chmod 600 "$run/$name.conf"
    spawn "$name" "$director" "$run/$name.log" keepalived --dont-fork --log-console --vrrp \
        --use-file "$run/$name.conf" --pid "$run/$name.pid" --vrrp_pid "$run/$name-vrrp.pid"
}

# The hardware address behind the VIP: the master's own.
vip_mac() { mac_of director1 eth0; }

has_vip() { on "$1" ip -o address show to "${vip%:*}" | grep -q .; }

programs_up() {
    each_director keepalived_start
    eventually 15 has_vip director1 || die "no director becomes VRRP's master"
}
