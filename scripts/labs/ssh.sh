# The director as a host: ssh to it and ping of it, through the port that it balances by, IPv4 and IPv6.
# The lab `changes` with IPv6 beside.
# shellcheck shell=bash disable=SC2034,SC2154

# shellcheck source=/dev/null
source "$labs_dir/changes.sh"

hosts_network() {
    on router sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    serves_directly rs2
    on router ip address add 2001:db8:10::84/64 dev eth0 nodad
    on router ip address add 2001:db8:30::10/64 dev eth1 nodad
    on client ip address add 2001:db8:30::100/64 dev eth0 nodad
    on client ip route add default via 2001:db8:30::10
}

director_network() {
    on director bash -eu <<TYPED
ip address replace 192.168.10.81/24 dev $(mirror_of servers)
ip address replace 192.168.10.100/32 dev eth0
ip address replace 2001:db8:10::81/64 dev $(mirror_of servers) nodad
ip link set eth0 up
ip route replace default via 192.168.10.84
ip route replace default via 2001:db8:10::84
TYPED
}

sshd_config() {
    cat <<EOF
Port 22
ListenAddress 192.168.10.81
ListenAddress 2001:db8:10::81
HostKey $run/host_key
AuthorizedKeysFile $run/user_key.pub
PidFile $run/sshd.pid
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
EOF
}

# sshd wants a directory /run/sshd, and lets in nobody whose account is locked, as root's may be. Neither is
# the lab's to change, so it gets a /run and a /etc/shadow of its own.
sshd_start() {
    printf 'root:*:1::::::\n' >"$run/shadow"
    spawn sshd director "$run/sshd.log" unshare --mount bash -euc "
        mount --bind '$run' /mnt
        mount -t tmpfs -o mode=755 none /run
        mkdir -p /run/sshd '$run'
        mount --bind /mnt '$run'
        mount --bind '$run/shadow' /etc/shadow
        exec /usr/sbin/sshd -D -e -f '$run/sshd_config'"
}

# Keys of this lab only, made anew each time.
programs_up() {
    local key address
    for key in host_key user_key; do
        ssh-keygen -q -t ed25519 -N '' -C "$lab" -f "$run/$key"
    done
    for address in 192.168.10.81 2001:db8:10::81; do
        printf '%s %s\n' "$address" "$(cat "$run/host_key.pub")" >>"$run/known_hosts"
    done
    sshd_config >"$run/sshd_config"
    sshd_start
    eventually 5 serves director 192.168.10.81 22 || die "sshd does not serve"
}
