# What all labs share: names, places, and how a lab's description is loaded.
# Sourced by scripts/lab and scripts/test; changes nothing by itself.
# shellcheck shell=bash disable=SC2034,SC2154

repository=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
labs_dir=$repository/scripts/labs
# With PVS_LAB_SET the same labs a second time on one machine, under other names.
lab_set=${PVS_LAB_SET:-}
lab_root=/run/pvs-lab${lab_set:+-$lab_set}
all_labs=(nat-1 nat-1-v6 nat-2 nat-3 dr-1 dr-1-v6 dr-2 tun-1 tun-1-v6 vrrp vrrp-vmac bgp ssh changes flood
    workers deaths deaths-xdp edits lists)
# Those that measure load: nothing else runs beside them.
labs_alone=(flood vrrp workers edits lists)
# Those that measure how long something takes: beside each other, but not beside a compiler.
labs_timed=(changes deaths deaths-xdp)

# A failure inside $(...) ends that too.
shopt -s inherit_errexit

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

say() { printf '%s\n' "$*" >&2; }

die() {
    say "lab: $*"
    exit 1
}

# The description of a lab is data (arrays) and two or three functions; see nat-1.sh.
load_lab() {
    local name=$1
    [[ " ${all_labs[*]} " == *" $name "* ]] || die "no lab '$name'; there are: ${all_labs[*]}"
    lab=$name
    run=$lab_root/$lab
    # shellcheck disable=SC2317
    hosts_network() { :; }
    # shellcheck disable=SC2317
    programs_up() { :; }
    unset -f director_dns_rules rules_without_port vip_as_alias
    hosts=() segments=() wires=() ports=() servers=() vip='' page_pad=0 dns_port=53
    pvsd_under=()
    directors=(director) table_size=65536
    asked_shape
    checks_of=${lab%-v6}
    # shellcheck source=/dev/null
    source "$labs_dir/$lab.sh"
    director=${directors[0]}
    shape_ports
    derive
}

# Each director has a nic (the namespace of its ports), a pvsd and a socket of its own, named alike:
# director, nic, pvsd; or director1, nic1, pvsd1 and so on. `director` is the one that is meant where
# none is named: `director=director2 pvsd_start`.
nic_of() { printf '%s\n' "${1/director/nic}"; }

pvsd_of() { printf '%s\n' "${1/director/pvsd}"; }

# each_director COMMAND...: once with each of them as the one that is meant.
each_director() {
    local director
    for director in "${directors[@]}"; do
        "$@"
    done
}

# What follows from a lab's description. Checks speak of `service`, over `protocol`: the pages
# first, the names (see `as_dns`) later.
derive() {
    local server host address port
    vip_address=${vip%:*}
    vip_address=${vip_address//[][]/}
    family=$(family_of "$vip_address")
    protocol=tcp
    service=$vip
    real_servers=() endpoints=() dns_endpoints=()
    for server in "${servers[@]}"; do
        read -r host address port <<<"$server"
        [[ $host == rs* ]] || continue
        real_servers+=("$host")
        endpoints+=("$(endpoint "$address" "$port")")
        dns_endpoints+=("$(endpoint "$address" "$dns_port")")
    done
}

# 4 or 6, as `ip` takes it behind a dash.
family_of() { if [[ $1 == *:* ]]; then echo 6; else echo 4; fi; }

# endpoint ADDRESS PORT: as it is written, an IPv6 address in brackets.
endpoint() { if [[ $1 == *:* ]]; then echo "[$1]:$2"; else echo "$1:$2"; fi; }

# The first address of a host of the lab.
address_of() {
    local wire host address
    for wire in "${wires[@]}"; do
        read -r host _ _ address _ <<<"$wire"
        [[ $host != "$1" ]] || { echo "${address%/*}" && return; }
    done
    die "$lab has no host '$1' with an address"
}

# Does the lab have names to ask for beside its pages?
has_dns() { declare -F director_dns_rules >/dev/null; }

# A host's network namespace. Every name that a lab makes outside its namespaces starts so.
ns() { printf 'pvs-%s%s-%s' "${lab_set:+$lab_set-}" "${lab//-/}" "$1"; }

# Runs a command on a host. `ipvsadm` is found first in the lab's own directory; on a director it
# talks to its pvsd.
on() {
    local host=$1 whose=$director
    shift
    [[ $host != director* ]] || whose=$host
    ip netns exec "$(ns "$host")" \
        env PATH="$run/bin:$PATH" PVS_SOCKET="$run/$(pvsd_of "$whose").sock" "$@"
}

# One change of a lab at a time. Descriptor 9 is not given to what the lab starts.
lock_lab() {
    mkdir -p "$lab_root"
    exec 9>"$lab_root/.$lab.lock"
    flock -w 60 9 || die "another command works on $lab"
}

need_root() { [[ $EUID -eq 0 ]] || die "labs need root (network namespaces)"; }

# Retries a command once every tenth of a second; its last answer counts.
eventually() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.1
    done
}
