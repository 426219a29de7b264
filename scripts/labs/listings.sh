# What ipvsadm lists, taken apart; and the clients' own kernel as the witness of its counters.
# shellcheck shell=bash disable=SC2034,SC2154

ipvsadm() { on "$director" ipvsadm "$@"; }

# The status; that something needs attention is no failure of the command.
status_json() { on "$director" pvsadm status --json || [[ $? -eq 1 ]]; }

# The line of the service, and those of its servers, without the arrow.
service_line() { ipvsadm "$@" | awk -v name="${protocol^^}" '$1 == name'; }

server_lines() {
    ipvsadm "$@" | awk -v name="${protocol^^}" '
        $1 != "->" { ours = $1 == name }
        $1 == "->" && ours { sub(/^ *-> */, ""); print }'
}

# listed_as METHOD WEIGHT SERVER...: exactly these servers, in this order.
listed_as() {
    local method=$1 weight=$2 expected
    shift 2
    ipvsadm -ln
    expected=$(printf "%s $method $weight\n" "$@")
    same "service" "${protocol^^} $service" "$(service_line -ln | awk '{ print $1, $2 }')"
    same "servers" "$expected" "$(server_lines -ln | awk '{ print $1, $2, $3 }')"
}

# Columns of -Ln --stats --exact: connections, packets in and out, bytes in and out.
statistics() { service_line -Ln --stats --exact | awk '{ print $3, $4, $5, $6, $7 }'; }

# An independent count of what the client sent to the service and got from it: the client's
# kernel counts IP packets and their total lengths.
witness_start() {
    local ip=ip port=${service##*:}
    [[ $family != 6 ]] || ip=ip6
    on client nft -f - <<EOF
table inet witness
delete table inet witness
table inet witness {
    counter sent { }
    counter received { }
    chain out {
        type filter hook output priority 0;
        $ip daddr $vip_address $protocol dport $port counter name sent
    }
    chain in {
        type filter hook input priority 0;
        $ip saddr $vip_address $protocol sport $port counter name received
    }
}
EOF
}

# Packets sent and received, bytes sent and received: in the order of `statistics`.
witnessed() {
    on client nft -j list counters table inet witness | jq -r '
        [.nftables[].counter | values | {(.name): .}] | add |
        [.sent.packets, .received.packets, .sent.bytes, .received.bytes] | join(" ")'
}

statistics_are() { [[ $(statistics) == "$1" ]]; }

# statistics_match CONNECTIONS both|in: the director counted what the client counted.
statistics_match() {
    local expected
    # The last acknowledgements of the last connection are on their way.
    sleep 0.5
    expected="$1 $(witnessed)"
    if [[ $2 == in ]]; then
        expected=$(awk '{ print $1, $2, 0, $4, 0 }' <<<"$expected")
    fi
    eventually 3 statistics_are "$expected" || same "statistics" "$expected" "$(statistics)"
}

# Lines of -lnc: protocol, seconds left, state, client, virtual address, server.
connections() {
    ipvsadm -lnc | awk -v name="${protocol^^}" '$1 == name {
        split($2, left, ":"); print $1, left[1] * 60 + left[2], $3, $4, $5, $6 }'
}

# A client that has its connection open for a while, and says nothing.
hold_connection() {
    spawn held client "$run/held.log" timeout 20 bash -c \
        "exec 3<>/dev/tcp/$vip_address/${vip##*:} && echo open && sleep 20"
    eventually 5 grep -q open "$run/held.log"
}

# Open connections are listed at 15 minutes less a little, ended ones below two minutes.
states_are_listed() {
    local seconds
    fetch_many 4
    hold_connection
    ipvsadm -lnc
    seconds=$(connections | awk '$3 == "ESTABLISHED" { print $2; exit }')
    less "seconds left of an open connection" 901 "$seconds"
    more "seconds left of an open connection" 885 "$seconds"
    seconds=$(connections | awk '$3 ~ /^(FIN_WAIT|TIME_WAIT|CLOSE)$/ && $2 > m { m = $2 } END { print m }')
    less "seconds left of an ended connection" 121 "$seconds"
    more "ended connections" 3 \
        "$(connections | awk '$3 ~ /^(FIN_WAIT|TIME_WAIT|CLOSE)$/' | wc -l)"
    same "entries of others than the client" '' \
        "$(connections | awk -v vip="$vip" '$5 != vip')"
    end_process held
    same "open connections once it is closed" '' "$(
        eventually 3 no_open_connection || connections | awk '$3 == "ESTABLISHED"'
    )"
}

no_open_connection() { [[ -z $(connections | awk '$3 == "ESTABLISHED"') ]]; }
