# Clients go by both directors, and by one when the other is gone.
# shellcheck shell=bash disable=SC2034,SC2154

# What BGP and BFD may take to notice, and the router to follow.
withdrawal_max_ms=5000

connections_of() { director=$1 statistics | cut -d ' ' -f 1; }

# spread_over DIRECTOR...: thirty requests, none fails, both servers answer, and exactly these
# directors have new connections.
spread_over() {
    local pages one before1 before2 new=
    before1=$(connections_of director1)
    before2=$(connections_of director2)
    pages=$(fetch_many 30)
    same "pages" 30 "$(wc -l <<<"$pages")"
    same "different pages" 2 "$(sort -u <<<"$pages" | wc -l)"
    [[ $(connections_of director1) == "$before1" ]] || new+="director1 "
    [[ $(connections_of director2) == "$before2" ]] || new+="director2 "
    same "directors with new connections" "$*" "${new% }"
    measured "connections: $(($(connections_of director1) - before1)) by director1," \
        "$(($(connections_of director2) - before2)) by director2"
}

# The session itself comes in by the port: Linux on the director accepts what the worker punts.
sessions_are_up() {
    local number
    for number in 1 2; do
        birdc -s "$run/bird-router.ctl" show protocols "director$number"
        birdc -s "$run/bird-router.ctl" show protocols "director$number" | grep -q Established
    done
    birdc -s "$run/bird-router.ctl" show bfd sessions
    same "sessions of BFD that are up" 2 \
        "$(birdc -s "$run/bird-router.ctl" show bfd sessions | grep -c ' Up ')"
}

# moved_away START-MS WHAT
moved_away() {
    eventually 10 ways_are "192.168.10.82 " || same "ways" "192.168.10.82 " "$(ways)"
    local took=$(($(now_ms) - $1))
    measured "$2: all go by the other after $took ms"
    less "milliseconds until then" "$withdrawal_max_ms" "$took"
}

comes_back() {
    local start
    start=$(now_ms)
    eventually 20 ways_are "$both_ways" || same "ways" "$both_ways" "$(ways)"
    measured "both again after $(($(now_ms) - start)) ms"
    spread_over director1 director2
}

bird_stopped() {
    local start
    start=$(now_ms)
    end_process bird-director1
    moved_away "$start" "BIRD stopped"
    spread_over director2
    director=director1 director_bird_start
    comes_back
}

vip_removed() {
    local start
    start=$(now_ms)
    on director1 ip address delete "${vip%:*}/32" dev lo
    moved_away "$start" "VIP removed"
    spread_over director2
    on director1 ip address add "${vip%:*}/32" dev lo
    comes_back
}

# The new one has no statistics of the old one.
pvsd_killed() {
    local start
    start=$(now_ms)
    end_process pvsd1 KILL
    moved_away "$start" "pvsd killed"
    fetch_many 30
    director=director1 pvsd_start
    director=director1 director_rules
    comes_back
}

checks() {
    check "BGP and BFD run over the mirrors" sessions_are_up
    check "clients go by both directors" spread_over director1 director2
    check "BIRD stopped on one: all go by the other" bird_stopped
    check "the VIP removed on one: all go by the other" vip_removed
    check "pvsd killed on one: all go by the other" pvsd_killed
}

# The proof that the directors do it.
checks_can_fail() {
    each_director pvsd_stop
    check "a request fails when both pvsd are stopped" fails fetch_many 1
}
