# Checks with UDP: the real servers answer names, and the virtual address is asked.
# shellcheck shell=bash disable=SC2034,SC2154

# A port that asked nothing in this lab before. What the client's kernel picks by chance is now and
# then a port whose connection the director still has.
new_port() {
    local port=20000
    [[ ! -e $run/asked_from ]] || read -r port <"$run/asked_from"
    echo $((port + 1)) | tee "$run/asked_from"
}

# ask PORT: one question from there, not repeated; the answer tells the server.
ask() {
    on client dig +short +tries=1 +time=2 -b "$(address_of client)#$1" "@$vip_address" \
        TXT server.lab | tr -d '"'
}

# Questions take turns between the servers.
answers_alternate() {
    local answers number count=10
    for ((number = 0; number < count; number++)); do
        ask "$(new_port)"
    done | tee "$run/answers"
    answers=$(cat "$run/answers")
    same "answers" "$count" "$(wc -l <<<"$answers")"
    same "servers that answered" "$(server_addresses)" "$(sort -u <<<"$answers")"
    same "answers that are like the one before" 0 "$(uniq -d <<<"$answers" | wc -l)"
}

server_addresses() {
    local host
    for host in "${real_servers[@]}"; do
        address_of "$host"
    done | sort
}

# Two questions from one port are one connection, and so are for one server.
one_port_is_one_connection() {
    local port first
    port=$(new_port)
    first=$(ask "$port")
    same "second answer" "$first" "$(ask "$port")"
    same "entries" 1 "$(connections | grep -cF "$(endpoint "$(address_of client)" "$port") ")"
}

# A question without rules is refused by Linux, and not just dropped. Linux limits how many errors
# it sends, so one may be missing.
question_refused() { eventually 6 answer_is_refusal; }

answer_is_refusal() { (ask "$(new_port)" || true) | tee /dev/stderr | grep -qF 'connection refused'; }

asked_by() { awk '/query\[TXT\] server.lab from/ { print $NF }' "$run/$1/dns.log"; }

question_is_logged() { [[ $(asked_by "$1" | wc -l) -gt $2 ]]; }

# Each server has been asked, and by nobody but the client.
client_asks() {
    local host before
    for host in "${real_servers[@]}"; do
        before=$(asked_by "$host" | wc -l)
        answers_alternate
        eventually 3 question_is_logged "$host" "$before"
        same "who asks $host" "$(address_of client)" "$(asked_by "$host" | sort -u)"
    done
}

# A connection of UDP is kept for five minutes, less a little.
udp_is_listed() {
    local most least
    answers_alternate
    ipvsadm -lnc
    most=$(connections | awk '$3 == "UDP" && $2 > m { m = $2 } END { print m }')
    less "seconds left of the latest" 301 "$most"
    more "seconds left of the latest" 295 "$most"
    more "entries of this kind" 9 "$(connections | awk '$3 == "UDP"' | wc -l)"
    same "entries of others" '' "$(connections | awk -v vip="$service" '$3 != "UDP" || $5 != vip')"
}

# The counters begin with these rules.
fresh_dns_rules() { director_rules && director_dns_rules; }

# questions_are_counted both|in: what the client's kernel counted.
questions_are_counted() {
    fresh_dns_rules
    witness_start
    answers_alternate
    ipvsadm -Ln --stats
    statistics_match 10 "$1"
}

# dns_checks METHOD both|in: what the director sees of the answers.
dns_checks() {
    check "questions by UDP alternate between the servers" answers_alternate
    check "the name servers are listed as $1 1" listed_as "$1" 1 "${dns_endpoints[@]}"
    check "the name servers' logs hold the client's address" client_asks
    check "connections of UDP are listed at about 5:00" udp_is_listed
    check "two questions from one port are one connection" one_port_is_one_connection
    check "questions are counted as the client counted" questions_are_counted "$2"
}

# The same words for the service of names.
as_dns() {
    local protocol=udp service
    service=$(endpoint "$vip_address" 53)
    "$@"
}
