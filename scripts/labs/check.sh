# Assertions. A check is a function that runs under `set -e` in a subshell of its own; the first
# assertion that fails ends it. Each check is one test in the counts, and one line of the results.
# shellcheck shell=bash disable=SC2034,SC2154

passed=0
failed=0

# Seconds that a check may take.
check_max_s=${PVS_LAB_CHECK_SECONDS:-120}

# The process group of the check that runs.
check_group=

end_check() {
    [[ -z $check_group ]] || kill -s KILL -- "-$check_group" 2>/dev/null || true
    check_group=
}

# in_time COMMAND...: in a process group of its own, which is killed when its time is over; how it ended is
# in check_rc. In the background and not to be called in a condition, for bash ignores `set -e` in whatever a
# condition waits for.
in_time() {
    local timer ended
    check_rc=0
    set -m
    (set +m -e; "$@") </dev/null 9>&- &
    check_group=$!
    set +m
    sleep "$check_max_s" >/dev/null 2>&1 9>&- &
    timer=$!
    wait -n -p ended "$check_group" "$timer" || check_rc=$?
    if [[ $ended == "$timer" ]]; then
        echo "has not ended after $check_max_s s, and was killed"
        check_rc=1
    fi
    end_check
    kill "$timer" 2>/dev/null || true
    wait 2>/dev/null || true
}

# check SENTENCE FUNCTION [ARGUMENTS]. Its log is not among the lab's files, for a check may take the lab down.
check() {
    local sentence=$1 start=$SECONDS
    shift
    in_time "$@" >"$check_log" 2>&1
    result "$check_rc"
    if [[ $check_rc -eq 0 ]]; then
        passed=$((passed + 1))
        printf 'ok   %s: %s (%d s)\n' "$lab" "$sentence" $((SECONDS - start))
        sed -n 's/^measured: /     /p' "$check_log"
    else
        failed=$((failed + 1))
        printf 'FAIL %s: %s\n' "$lab" "$sentence"
        sed 's/^/     | /' "$check_log"
        each_director pvsd_said
    fi
}

pvsd_said() {
    local name
    name=$(pvsd_of "$director")
    sed "s/^/     $name: /" <(tail -n 15 "$run/$name.log" 2>/dev/null)
}

# A figure that is told beside the check's own line.
measured() { printf 'measured: %s\n' "$*"; }

# Milliseconds of the machine's clock.
now_ms() { printf '%s\n' $((${EPOCHREALTIME/[.,]/} / 1000)); }

# What the table at the end is made of: lab, family, protocol, status of the check.
result() {
    [[ -z ${results:-} ]] ||
        printf '%s %s %s %s\n' "$lab" "$family" "$protocol" "$1" >>"$results"
}

# The proof that a check can fail.
fails() {
    local rc=0
    (set -e; "$@") &
    wait $! || rc=$?
    if [[ $rc -eq 0 ]]; then
        echo "'$*' passed, and should have failed"
        return 1
    fi
    echo "failed, as it should: '$*'"
}

# same WHAT EXPECTED ACTUAL
same() {
    [[ $2 == "$3" ]] && return 0
    printf '%s: expected "%s", found "%s"\n' "$@"
    return 1
}

# less WHAT BOUND ACTUAL
less() {
    [[ $3 =~ ^[0-9]+$ ]] && (($3 < $2)) && return 0
    printf '%s: expected less than "%s", found "%s"\n' "$@"
    return 1
}

# more WHAT BOUND ACTUAL
more() {
    [[ $3 =~ ^[0-9]+$ ]] && (($3 > $2)) && return 0
    printf '%s: expected more than "%s", found "%s"\n' "$@"
    return 1
}

# fetch HOST URL [OPTION...]: one request on a connection of its own.
fetch() {
    local host=$1 url=$2
    shift 2
    on "$host" curl --silent --show-error --noproxy '*' --connect-timeout 2 --max-time 4 "$@" "$url"
}

# fetch_many COUNT: pages from the virtual address, one after another; stops at a failure.
fetch_many() {
    local number
    for ((number = 0; number < $1; number++)); do
        fetch client "http://$vip/"
    done
}

# Requests take turns between the servers.
alternates() {
    local pages count=10
    pages=$(fetch_many "$count")
    echo "$pages"
    same "pages" "$count" "$(wc -l <<<"$pages")"
    same "different pages" 2 "$(sort -u <<<"$pages" | wc -l)"
    same "pages that are like the one before" 0 "$(uniq -d <<<"$pages" | wc -l)"
}

# What was answered last is logged a little later.
forget_logs() {
    local server host
    sleep 0.2
    for server in "${servers[@]}"; do
        read -r host _ <<<"$server"
        : >"$run/$host/access.log"
    done
}

# Requests for pages in a server's log. An upload that was broken off is logged whenever its server gives it up.
page_log() { grep -v ' /upload/' "$run/$1/access.log" || true; }

# The first field of each line, each value once.
logged_clients() { page_log "$1" | cut -d ' ' -f 1 | sort -u | tr '\n' ' '; }

logged_requests() { page_log "$1" | wc -l; }

requests_are_logged() { [[ $(logged_requests "$1") -eq $2 ]]; }

# client_in_logs ADDRESS HOST...: each server's log holds its share, all from that address.
client_in_logs() {
    local address=$1 host
    shift
    forget_logs
    fetch_many $(($# * 3))
    for host in "$@"; do
        eventually 3 requests_are_logged "$host" 3 ||
            same "requests in the log of $host" 3 "$(logged_requests "$host")"
        same "clients in the log of $host" "$address " "$(logged_clients "$host")"
    done
}

# arp_answers HOST INTERFACE ADDRESS: the distinct MAC addresses of whoever answers.
arp_answers() {
    on "$1" arping -b -c 2 -w 4 -I "$2" "$3" |
        grep -oE '\[[0-9A-Fa-f:]{17}\]' | tr -d '[]' | tr 'A-F' 'a-f' | sort -u
}

# The same for IPv6, where the kernel asks, and tcpdump sees who answers.
nd_answers() {
    local host=$1 interface=$2 address=$3
    on "$host" ip neighbour flush to "$address" dev "$interface"
    sniff "$host" "$interface" "$run/nd.log" -Q in "icmp6 and ip6[40] = 136"
    on "$host" ping -c 1 -W 2 "$address" >/dev/null || true
    sleep 0.5
    end_process sniffer INT
    grep -F "tgt is $address," "$run/nd.log" | awk '$3 == ">" { print $2 }' | sort -u
}

# only_director_answers HOST INTERFACE: on that segment, for the virtual address.
only_director_answers() {
    local answers
    if [[ $family == 6 ]]; then
        answers=$(nd_answers "$1" "$2" "$vip_address")
    else
        answers=$(arp_answers "$1" "$2" "$vip_address")
    fi
    same "MAC addresses behind $vip_address" "$(mac_of "$director" eth0)" "$answers"
}

# sniff HOST INTERFACE LOG WORDS-OF-TCPDUMP...: until `end_process sniffer INT`.
sniff() {
    local host=$1 interface=$2 log=$3
    shift 3
    spawn sniffer "$host" "$log" tcpdump -lenni "$interface" "$@"
    eventually 10 grep -q 'listening on' "$log"
}

linux_answers_ping() {
    on "$1" ping -c 2 -i 0.2 -W 2 "$vip_address"
}

nothing_listens() {
    local host
    for host in "$director" "$(nic_of "$director")"; do
        on "$host" ss -Hltn
        same "listening on $host at the service's port" '' \
            "$(on "$host" ss -Hltn "( sport = :${vip##*:} )")"
    done
}

# A connection without rules is refused by Linux, at once, and not just dropped.
refused() {
    local rc=0
    fetch client "http://$vip/" || rc=$?
    same "exit code of curl (7: refused)" 7 "$rc"
}

# 50 MB from each server, the second on the turn of the other.
big_page_arrives() {
    local count
    for count in 1 2; do
        fetch client "http://$vip/big" --max-time 120 --output "$run/big.$count"
        same "bytes of download $count" "$big_bytes" "$(stat -c %s "$run/big.$count")"
    done
    cat "$run/big.1" "$run/big.2" | cksum >"$run/big.sum"
    if ! cmp -s "$run/big.sum" <(big_pages "$1" "$2" | cksum) &&
        ! cmp -s "$run/big.sum" <(big_pages "$2" "$1" | cksum); then
        echo "what arrived is not what the servers hold"
        return 1
    fi
}

big_pages() { cat "$run/$1/big" "$run/$2/big"; }

# 50 MB to whichever server has its turn.
big_upload_arrives() {
    local sent
    sent=$(cksum <"$run/$1/big")
    rm -f "$run"/*/upload/big
    fetch client "http://$vip/upload/big" --max-time 120 --upload-file "$run/$1/big"
    cksum "$run"/*/upload/big
    same "checksum and length of what arrived" "$sent" "$(cat "$run"/*/upload/big | cksum)"
}

# pvsd is killed and started again, with nothing cleaned in between: it works at once, and what the
# operator set on the taps is still there.
killed_and_back() {
    local before
    before=$(operators_settings)
    end_process "$(pvsd_of "$director")" KILL
    pvsd_start
    director_rules
    alternates
    same "addresses and routes" "$before" "$(operators_settings)"
}

operators_settings() {
    on "$director" ip -o "-$family" address show scope global | sed 's/ *\\.*//'
    on "$director" ip "-$family" route show table all
}
