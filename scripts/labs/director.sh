# The director: pvsd in the nic's namespace, its mirror taps and all that an operator types in
# the director's namespace.
# shellcheck shell=bash disable=SC2034,SC2154

# Where the binaries are: PVS_BIN names a profile or a directory; by default what is built.
binaries() {
    local target=${CARGO_TARGET_DIR:-$repository/target} profile
    case ${PVS_BIN:-} in
    */*) printf '%s\n' "$PVS_BIN" ;;
    '')
        for profile in release ci; do
            [[ -x $target/$profile/pvsd ]] && break
        done
        printf '%s\n' "$target/$profile"
        ;;
    *) printf '%s\n' "$target/$PVS_BIN" ;;
    esac
}

find_binaries() {
    bin=$(binaries)
    local name
    for name in pvsd pvsadm; do
        [[ -x $bin/$name ]] || die "no $bin/$name: build it, or say with PVS_BIN where it is"
    done
    bin=$(cd -- "$bin" && pwd)
    mkdir -p "$run/bin"
    for name in pvsadm ipvsadm ipvsadm-save ipvsadm-restore; do
        ln -sfn "$bin/pvsadm" "$run/bin/$name"
    done
}

# device_of NUMBER: a port in DPDK's words. The ring of 512 frames that af_packet has by itself overflows,
# uncounted, while a machine with few cores does something else for 20 ms.
device_of() {
    local device=net_$driver$1,iface=d$1
    [[ $driver != af_packet ]] || device+=,qpairs=$queues,framecnt=4096
    echo "$device"
}

# pvsd_config DROP [RULES-FILE]
pvsd_config() {
    local drop=$1 rules=${2:-} port mirror role number=0
    for port in "${ports[@]}"; do
        read -r mirror _ role <<<"$port"
        cat <<EOF
[[port]]
device = "$(device_of "$number")"
role = "$role"
mirror = "$mirror"
namespace = "$(ns "$director")"

EOF
        number=$((number + 1))
    done
    cat <<EOF
[workers]
count = $workers
idle = "adaptive"
steering = "$steering"

[memory]
hugepages = "auto"
megabytes = 256

[table]
connections = $table_size

[control]
socket = "$run/$(pvsd_of "$director").sock"

[log]
level = "info"

[debug]
drop_service_traffic = $drop
EOF
    [[ -z $rules ]] || printf '\n[rules]\nfile = "%s"\n' "$rules"
}

pvsd_ready_or_dead() { grep -q '^pvsd: ready' "$run/$1.log" || ! pid_of "$1" >/dev/null; }

# pvsd_start [DROP [RULES-FILE]]; the array pvsd_under is what pvsd is started by, if anything.
pvsd_start() {
    local name
    name=$(pvsd_of "$director")
    find_binaries
    pvsd_config "${1:-false}" "${2:-}" >"$run/$name.toml"
    spawn "$name" "$(nic_of "$director")" "$run/$name.log" "${pvsd_under[@]}" \
        "$bin/pvsd" --config "$run/$name.toml"
    if ! eventually 30 pvsd_ready_or_dead "$name" || ! pid_of "$name" >/dev/null; then
        tail -n 40 "$run/$name.log" >&2
        die "$name does not get ready"
    fi
}

pvsd_stop() { end_process "$(pvsd_of "$director")"; }

# A restart keeps the taps, and with them what the operator set on them.
pvsd_restart() {
    pvsd_stop
    pvsd_start "$@"
}

pvsd_remove_taps() {
    local name
    name=$(pvsd_of "$director")
    [[ -e $run/$name.toml && -x ${bin:=$(binaries)}/pvsd ]] || return 0
    on "$(nic_of "$director")" "$bin/pvsd" --remove-taps --config "$run/$name.toml" \
        >>"$run/$name.log" 2>&1 ||
        say "lab: pvsd --remove-taps failed; the taps go with their namespace"
}
