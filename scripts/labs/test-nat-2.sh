# shellcheck shell=bash disable=SC2034,SC2154

# servers_reach_outside and what holds of names are NAT-1's.
# shellcheck source=/dev/null
source "$labs_dir/test-nat-1.sh"

# The servers listen on 8080 only, the client spoke to 80 only.
ports_are_mapped() {
    fetch_many 2
    same "servers of the connections" "192.168.137.53:8080 192.168.137.54:8080 " \
        "$(connections | awk '{ print $6 }' | sort -u | tr '\n' ' ')"
    same "listening on rs1" "" "$(on rs1 ss -Hltn '( sport = :80 )')"
}

checks() {
    check "requests alternate between the servers" alternates
    check "both are listed with port 8080" listed_as Masq 1 192.168.137.53:8080 192.168.137.54:8080
    check "port 80 is mapped to 8080" ports_are_mapped
    check "the servers' logs hold the client's address" client_in_logs 172.20.10.2 rs1 rs2
    check "only the director says that it has the VIP" only_director_answers client eth0
    check "Linux answers a ping of the VIP" linux_answers_ping client
    check "nothing listens on the director" nothing_listens
    check "states and their times are listed" states_are_listed
    check "the servers reach the outside through Linux" servers_reach_outside rs1 rs2
    check "50 MB down arrive intact" big_page_arrives rs1 rs2
    check "50 MB up arrive intact" big_upload_arrives rs1
}
