# The real servers, and other hosts that serve pages: one nginx process on each, in the
# foreground, with all its files in the lab's directory. The page is the host's own address.
# Real servers answer names too, by dnsmasq, if the lab has rules for that.
# shellcheck shell=bash disable=SC2034,SC2154

# The large page, and what is uploaded: 50 MB.
big_bytes=52428800

write_nginx_config() {
    local directory=$1 address=$2 port=$3 pad
    pad=$(printf '%*s' "$page_pad" '' | tr ' ' x)
    cat <<EOF
daemon off;
master_process off;
pid $directory/nginx.pid;
error_log $directory/error.log notice;
events { worker_connections 512; }
http {
    log_format lab '\$remote_addr \$server_addr \$status \$request_uri';
    access_log $directory/access.log lab;
    client_body_temp_path $directory/tmp;
    proxy_temp_path $directory/tmp;
    fastcgi_temp_path $directory/tmp;
    uwsgi_temp_path $directory/tmp;
    scgi_temp_path $directory/tmp;
    server_tokens off;
    server {
        listen 0.0.0.0:$port;
        listen [::]:$port;
        location = / {
            default_type text/plain;
            ${pad:+add_header X-Pad $pad;}
            return 200 "$address\n";
        }
        location /big { root $directory; }
        location /slow {
            alias $directory/big;
            limit_rate 10m;
        }
        location /upload/ {
            root $directory;
            dav_methods PUT;
            client_max_body_size 64m;
        }
    }
}
EOF
}

serves() { on "$1" bash -c "exec 3<>/dev/tcp/$2/$3" 2>/dev/null; }

server_up() {
    local host=$1 address=$2 port=$3 directory=$run/$1
    mkdir -p "$directory/upload"
    chmod a+rwx "$directory/upload"
    : >"$directory/access.log"
    head -c "$big_bytes" /dev/urandom >"$directory/big"
    write_nginx_config "$directory" "$address" "$port" >"$directory/nginx.conf"
    spawn "nginx-$host" "$host" "$directory/out.log" \
        nginx -p "$directory" -e "$directory/error.log" -c "$directory/nginx.conf"
    if ! eventually 10 serves "$host" "$address" "$port"; then
        cat "$directory/out.log" "$directory/error.log" >&2
        die "nginx on $host does not serve"
    fi
}

dns_listens() { [[ -n $(on "$1" ss -Hlun "( sport = :$dns_port )") ]]; }

# The text of the name server.lab is the host's own address. Questions are logged.
dns_up() {
    local host=$1 address=$2
    spawn "dnsmasq-$host" "$host" "$run/$host/dns.log" \
        dnsmasq --keep-in-foreground --conf-file=/dev/null --pid-file="$run/$host/dns.pid" \
        --user=root --port="$dns_port" --no-resolv --no-hosts --log-queries --log-facility=- \
        --txt-record="server.lab,$address"
    if ! eventually 10 dns_listens "$host"; then
        cat "$run/$host/dns.log" >&2
        die "dnsmasq on $host does not serve"
    fi
}

servers_up() {
    local server host address port
    for server in "${servers[@]}"; do
        read -r host address port <<<"$server"
        server_up "$host" "$address" "$port"
        [[ $host != rs* ]] || ! has_dns || dns_up "$host" "$address"
    done
}

# serves_directly HOST...: real servers of direct routing: each holds the VIP, and is silent about it.
serves_directly() {
    local host
    for host in "$@"; do
        on "$host" sysctl -qw net.ipv4.conf.{all,lo}.arp_ignore=1 \
            net.ipv4.conf.{all,lo}.arp_announce=2
        on "$host" ip address add "${vip%:*}/32" dev lo
    done
}

has_device() { on "$1" ip link show "$2" >/dev/null 2>&1; }

# tunnel_end HOST DEVICE 4|6: a device that receives what comes through tunnels over IPv4 or IPv6.
# A kernel that has tunnels has tunl0 and ip6tnl0 in each namespace.
tunnel_end() {
    local host=$1 device=$2 outer=$3
    has_device "$host" "$device" && return 0
    spawn "$device-$host" "$host" "$run/$device-$host.log" \
        "$labs_dir/decapsulate.py" "$device" "$outer"
    if ! eventually 10 has_device "$host" "$device"; then
        cat "$run/$device-$host.log" >&2
        die "no $device on $host"
    fi
}
