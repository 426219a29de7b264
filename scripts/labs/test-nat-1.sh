# Checks of NAT-1, in IPv4 and IPv6.
# shellcheck shell=bash disable=SC2034,SC2154

# The kernel masquerades what the servers send elsewhere; no part of it is load balanced.
servers_reach_outside() {
    local host before outside
    outside=$(address_of outside)
    forget_logs
    before=$(statistics)
    for host in "$@"; do
        same "page from outside" "$outside" "$(fetch "$host" "http://$(endpoint "$outside" 80)/")"
        on "$host" ping -c 1 -W 2 "$outside"
    done
    eventually 3 requests_are_logged outside $#
    same "who is seen outside" "$vip_address " "$(logged_clients outside)"
    same "statistics of the service" "$before" "$(statistics)"
    same "entries of that traffic" '' "$(connections | grep -F "$(endpoint "$outside" '')" || true)"
}

# A third server on the director itself: its replies come from Linux and are translated on their way out.
director_serves() {
    local pages own=$dip sums
    server_up director "$own" 8080
    on director ipvsadm -a -t "$vip" -r "$(endpoint "$own" 8080)" -m
    pages=$(fetch_many 9)
    same "pages by server" "3 3 3" "$(sort <<<"$pages" | uniq -c | awk '{ print $1 }' | xargs)"
    same "pages of the director" 3 "$(grep -cxF "$own" <<<"$pages")"
    same "who asked the director" "$(address_of client) " "$(logged_clients director)"
    sums=$(for _ in 1 2 3; do fetch client "http://$vip/big" --range 0-9999999 | cksum; done)
    grep -qxF "$(head -c 10000000 "$run/director/big" | cksum)" <<<"$sums"
    on director ipvsadm -d -t "$vip" -r "$(endpoint "$own" 8080)"
    end_process nginx-director
}

checks() {
    check "requests alternate between the servers" alternates
    check "both are listed as Masq 1" listed_as Masq 1 "${endpoints[@]}"
    check "the servers' logs hold the client's address" client_in_logs "$(address_of client)" rs2 rs3
    check "only the director says that it has the VIP" only_director_answers client eth0
    check "Linux answers a ping of the VIP" linux_answers_ping client
    check "nothing listens on the director" nothing_listens
    check "states and their times are listed" states_are_listed
    check "the servers reach the outside through Linux" servers_reach_outside rs2 rs3
    check "a server on the director itself takes its turn" director_serves
    check "50 MB down arrive intact" big_page_arrives rs2 rs3
    check "50 MB up arrive intact" big_upload_arrives rs2
}

dns_checks_of_lab() { dns_checks Masq both; }
