# A thousand edits while a download and two loads run: no request fails, no packet is lost.
# shellcheck shell=bash disable=SC2034,SC2154

# shellcheck source=/dev/null
source "$labs_dir/download.sh"
# shellcheck source=/dev/null
source "$labs_dir/load.sh"

# A multiple of 60, which is one round of all kinds.
edits=1020

# The files that -R gets: other services; those again, gone; and everything, the loaded services included,
# behind a -C: one snapshot, in which each server is what it was.
write_rules() {
    local number
    for number in {1..20}; do
        printf -- '-A -t 192.168.10.100:%s -s wrr\n' $((3000 + number))
        printf -- "-a -t 192.168.10.100:$((3000 + number)) -r 192.168.10.%s:80 -m -w 2\n" 91 92 93
    done >"$run/others.add"
    grep -e '^-A' "$run/others.add" | sed 's/^-A/-D/; s/ -s.*//' >"$run/others.remove"
    { echo -C && ipvsadm -S -n; } >"$run/whole"
}

# edit NUMBER: one command. Servers that are added to the loaded service have no weight, since whoever is
# given a connection must answer it; its own are never removed, and now and then one has no weight.
edit() {
    local other=192.168.10.100:$((2000 + $1 / 12)) spare=192.168.10.$((100 + $1 / 12 % 100)):80
    case $(($1 % 12)) in
    0) ipvsadm -A -t "$other" -s wlc ;;
    1) ipvsadm -a -t "$other" -r 192.168.10.91:80 -m ;;
    2) ipvsadm -a -t "$other" -r 192.168.10.92 -g ;;
    3) ipvsadm -e -t "$other" -r 192.168.10.91:80 -m -w 7 ;;
    4) ipvsadm -E -t "$other" -s rr ;;
    5) ipvsadm -d -t "$other" -r 192.168.10.92 ;;
    6) ipvsadm -D -t "$other" ;;
    7) ipvsadm -a -t "$vip" -r "$spare" -m -w 0 ;;
    8) ipvsadm -e -t "$vip" -r "192.168.10.7$((1 + $1 / 12 % 2)):80" -m -w $(($1 / 12 % 4)) ;;
    9) ipvsadm -e -t "$vip" -r "192.168.10.7$((1 + $1 / 12 % 2)):80" -m -w 1 ;;
    10) ipvsadm -d -t "$vip" -r "$spare" ;;
    11) edit_all $(($1 / 12 % 5)) ;;
    esac
}

edit_all() {
    case $1 in
    0) ipvsadm -R <"$run/others.add" ;;
    1) ipvsadm -R <"$run/others.remove" ;;
    2) ipvsadm --set 900 120 $((300 + RANDOM % 10)) ;;
    3) ipvsadm -E -t "$vip" -s wrr ;;
    4) ipvsadm -R <"$run/whole" ;;
    esac
}

edit_much() {
    local number
    for ((number = 0; number < edits; number++)); do
        edit "$number" || { echo "edit $number failed" && return 1; }
    done
}

# On the director itself: entering its namespace for each command would take longer than the command.
edits_on_director() {
    local start took
    start=$(now_ms)
    on "$director" env run="$run" vip="$vip" edits="$edits" bash -euo pipefail -c \
        "$(declare -f edit edit_all edit_much)"$'\nedit_much' || return 1
    took=$(($(now_ms) - start))
    measured "$edits edits in $took ms, $((edits * 1000 / took)) a second"
}

# Reasons and packets, as they are now.
losses() { ipvsadm_drops | jq -r '.drops[] | select(.packets > 0) | "\(.reason) \(.packets)"' | sort; }

ipvsadm_drops() { on "$director" pvsadm drops --json; }

edits_harm_nobody() {
    local before
    write_rules
    before=$(losses)
    load_start 80 "$vip"
    load_start 81 "${vip%:*}:81"
    download_start 80 /big --limit-rate 3M
    edits_on_director
    pid_of download >/dev/null || measured "the download was over before the edits"
    eventually 40 download_ended
    cat "$run/download.log"
    same "packets lost" "$before" "$(losses)"
    load_succeeded 80
    load_succeeded 81
    same "bytes" "$big_bytes" "$(download_size)"
    cmp -s "$run/download" "$run/rs1/big" || cmp "$run/download" "$run/rs2/big"
    same "rules" "$(tail -n +2 "$run/whole")" "$(ipvsadm -S -n)"
}

download_ended() { ! pid_of download >/dev/null; }

# What removed servers cost is seen: the check above can tell.
removed_servers_are_noticed() {
    local before server
    before=$(losses)
    download_start 80 /big --limit-rate 3M
    for server in 192.168.10.71:80 192.168.10.72:80; do
        ipvsadm -d -t "$vip" -r "$server"
    done
    sleep 0.5
    fails same "packets lost" "$before" "$(losses)"
    end_process download
    director_rules
}

checks() {
    check "$edits edits while a download and two loads run" edits_harm_nobody
    check "servers that are removed under a connection would be noticed" removed_servers_are_noticed
}

# The proof that requests come through pvsd.
checks_can_fail() {
    pvsd_stop
    check "a load fails when pvsd is stopped" fails load_all 8 "$vip" 8
}
