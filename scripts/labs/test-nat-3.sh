# shellcheck shell=bash disable=SC2034,SC2154

# 25 requests of the tutorial's curl. Its version is part of the byte counts.
requests_25() {
    local number
    for ((number = 0; number < 25; number++)); do
        fetch client "http://${vip%:80}/" --user-agent curl/7.29.0 >/dev/null
    done
}

# All counters are zero after this.
fresh_rules() { director_rules && witness_start; }

# The kernels may acknowledge with one packet more or less when a machine is slow, so the
# tutorial's own numbers get three attempts; what the client's kernel counted must be right in each.
tutorial_numbers() {
    local attempt numbers
    for attempt in 1 2 3; do
        fresh_rules
        requests_25
        statistics_match 25 both
        ipvsadm -Ln --stats
        same "connections by server" "12 13 " \
            "$(server_lines -Ln --stats | awk '{ print $2 }' | sort -n | tr '\n' ' ')"
        numbers=$(statistics)
        [[ $numbers != "25 150 100 9900 11875" ]] || return 0
        echo "attempt $attempt: $numbers"
    done
    same "statistics" "25 150 100 9900 11875" "$numbers"
}

# The sums of the servers' columns are the service's.
servers_add_up() {
    same "sums" "$(statistics)" "$(server_lines -Ln --stats --exact |
        awk '{ for (i = 2; i <= 6; i++) sum[i] += $i }
            END { print sum[2], sum[3], sum[4], sum[5], sum[6] }')"
}

zeroed() {
    ipvsadm -Z
    same "statistics" "0 0 0 0 0" "$(statistics)"
}

saved_rules="-A -t 172.16.10.81:80 -s wrr
-a -t 172.16.10.81:80 -r 192.168.10.71:80 -m -w 1
-a -t 172.16.10.81:80 -r 192.168.10.72:80 -m -w 1"

saved_and_restored() {
    same "saved" "$saved_rules" "$(ipvsadm -S -n)"
    ipvsadm -S -n >"$run/rules"
    ipvsadm -C
    same "after -C" '' "$(ipvsadm -S -n)"
    ipvsadm -R <"$run/rules"
    same "restored" "$saved_rules" "$(ipvsadm -S -n)"
    alternates
}

# With the scripts that come with ipvsadm, which are links here too.
saved_and_restored_by_scripts() {
    local http
    http=$(getent services 80/tcp | cut -d ' ' -f 1) || http=80
    on director bash -eu <<TYPED
ipvsadm-save >$run/named
ipvsadm-save -n >$run/rules
ipvsadm -C
ipvsadm-restore <$run/rules
TYPED
    same "saved" "$saved_rules" "$(cat "$run/rules")"
    same "saved with names" "${saved_rules//:80/:$http}" "$(cat "$run/named")"
    same "restored" "$saved_rules" "$(ipvsadm -S -n)"
}

# The rules come from a file at the start.
back_after_a_restart() {
    ipvsadm -S -n >"$run/rules"
    pvsd_restart false "$run/rules"
    same "rules" "$saved_rules" "$(ipvsadm -S -n)"
    alternates
}

# The same with no more capabilities than the systemd unit leaves pvsd.
back_under_the_unit() {
    local capabilities pvsd_under
    capabilities=$(sed -n 's/^CapabilityBoundingSet=//p' "$repository/docs/pvsd.service")
    capabilities=${capabilities//CAP_/+}
    capabilities=${capabilities// /,}
    grep -qx 'NoNewPrivileges=yes' "$repository/docs/pvsd.service"
    pvsd_under=(setpriv --no-new-privs "--bounding-set=-all,${capabilities,,}")
    back_after_a_restart
    same "capabilities" "$(wc -w <<<"${capabilities//,/ }")" "$(capabilities_of pvsd)"
}

# How many there are, of those that a process may use.
capabilities_of() {
    local word
    word=$(awk '$1 == "CapEff:" { print $2 }' "/proc/$(pid_of "$1")/status")
    python3 -c "print(bin(0x$word).count('1'))"
}

checks() {
    check "requests alternate between the servers" alternates
    check "both are listed as Masq 1" listed_as Masq 1 192.168.10.71:80 192.168.10.72:80
    check "25 requests: the tutorial's statistics, as the client counted" tutorial_numbers
    check "the servers' counters add up to the service's" servers_add_up
    check "the servers' logs hold the client's address" client_in_logs 172.16.10.100 rs1 rs2
    check "-Z zeroes" zeroed
    check "only the director says that it has the VIP" only_director_answers client eth0
    check "nothing listens on the director" nothing_listens
    check "states and their times are listed" states_are_listed
    check "-S writes the rules, -R brings them back" saved_and_restored
    check "ipvsadm-save writes them too, and ipvsadm-restore" saved_and_restored_by_scripts
    check "the rules file brings them back at a start" back_after_a_restart
    check "so it does with the systemd unit's capabilities" back_under_the_unit
}

dns_checks_of_lab() { dns_checks Masq both; }
