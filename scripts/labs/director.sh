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
    ln -sfn "$bin/pvsadm" "$run/bin/ipvsadm"
    ln -sfn "$bin/pvsadm" "$run/bin/pvsadm"
}

# pvsd_config DROP [RULES-FILE]
pvsd_config() {
    local drop=$1 rules=${2:-} port mirror role number=0
    for port in "${ports[@]}"; do
        read -r mirror _ role <<<"$port"
        cat <<EOF
[[port]]
device = "net_af_packet$number,iface=d$number"
role = "$role"
mirror = "$mirror"
namespace = "$(ns director)"

EOF
        number=$((number + 1))
    done
    cat <<EOF
[workers]
count = 1
idle = "adaptive"

[memory]
hugepages = "auto"
megabytes = 256

[table]
connections = 65536

[control]
socket = "$run/pvsd.sock"

[log]
level = "info"

[debug]
drop_service_traffic = $drop
EOF
    [[ -z $rules ]] || printf '\n[rules]\nfile = "%s"\n' "$rules"
}

pvsd_ready_or_dead() { grep -q '^pvsd: ready' "$run/pvsd.log" || ! pid_of pvsd >/dev/null; }

# pvsd_start [DROP [RULES-FILE]]
pvsd_start() {
    find_binaries
    pvsd_config "${1:-false}" "${2:-}" >"$run/pvsd.toml"
    spawn pvsd nic "$run/pvsd.log" "$bin/pvsd" --config "$run/pvsd.toml"
    if ! eventually 30 pvsd_ready_or_dead || ! pid_of pvsd >/dev/null; then
        tail -n 40 "$run/pvsd.log" >&2
        die "pvsd does not get ready"
    fi
}

pvsd_stop() { end_process pvsd; }

# A restart keeps the taps, and with them what the operator set on them.
pvsd_restart() {
    pvsd_stop
    pvsd_start "$@"
}

pvsd_remove_taps() {
    [[ -e $run/pvsd.toml && -x ${bin:=$(binaries)}/pvsd ]] || return 0
    on nic "$bin/pvsd" --remove-taps --config "$run/pvsd.toml" >>"$run/pvsd.log" 2>&1 ||
        say "lab: pvsd --remove-taps failed; the taps go with their namespace"
}
