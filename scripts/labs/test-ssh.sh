# What is no load balancing reaches Linux on the director whole, in both families.
# shellcheck shell=bash disable=SC2034,SC2154

# to_director ADDRESS COMMAND...: by ssh, from the client; 50 MB take two seconds.
to_director() {
    local address=$1
    shift
    on client timeout --foreground 30 ssh -F none -i "$run/user_key" -o UserKnownHostsFile="$run/known_hosts" \
        -o StrictHostKeyChecking=yes -o BatchMode=yes -o ConnectTimeout=5 "root@$address" "$@"
}

runs_a_command() {
    local where
    where=$(on director readlink /proc/self/ns/net)
    same "network namespace of the command" "$where" "$(to_director "$1" readlink /proc/self/ns/net)"
}

# More than a window each way.
carries_megabytes() {
    local sum start
    sum=$(cksum <"$run/rs1/big")
    start=$(now_ms)
    same "checksum of what went there" "$sum" "$(to_director "$1" cksum <"$run/rs1/big")"
    same "checksum of what came back" "$sum" "$(to_director "$1" cat "$run/rs1/big" | cksum)"
    measured "50 MB each way in $(($(now_ms) - start)) ms"
}

# All answers, none twice.
answers_large_pings() {
    local said
    said=$(on client ping -c 10 -i 0.05 -W 2 -s 1400 -M "do" "$1")
    echo "$said"
    grep -q '10 packets transmitted, 10 received, 0% packet loss' <<<"$said"
    same "duplicates" '' "$(grep -o 'DUP!' <<<"$said" || true)"
}

checks() {
    local address
    for address in 192.168.10.81 2001:db8:10::81; do
        check "ssh to $address runs a command there" runs_a_command "$address"
        check "ssh to $address carries 50 MB each way" carries_megabytes "$address"
        check "$address answers pings of 1400 bytes" answers_large_pings "$address"
    done
    check "the VIP answers pings of 1400 bytes" answers_large_pings "${vip%:*}"
    check "and is balanced beside" fetch_many 4
}

# The proof that it goes through pvsd.
checks_can_fail() {
    pvsd_stop
    check "ssh fails when pvsd is stopped" fails runs_a_command 192.168.10.81
}
