# Processes of a lab: started with their pid on record, ended by that record only.
# A record is "name pid start-time"; the start time tells a process from a later one of that pid.
# shellcheck shell=bash disable=SC2034,SC2154

# The start time of a process in ticks; fails when it is gone (a zombie is gone).
start_time() {
    local stat state
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    stat=${stat##*) }
    state=${stat%% *}
    [[ $state != Z ]] || return 1
    cut -d ' ' -f 20 <<<"$stat"
}

lives() { [[ $(start_time "$1") == "$2" ]]; }

gone() { ! lives "$@"; }

# spawn NAME HOST LOG COMMAND...: in the background on a host, output to the log. The process
# records itself before it becomes the command, so that no crash leaves one without a record.
spawn() {
    local name=$1 host=$2 log=$3 pid
    shift 3
    (
        pid=$BASHPID
        printf '%s %s %s\n' "$name" "$pid" "$(start_time "$pid")" >>"$run/processes"
        exec setsid ip netns exec "$(ns "$host")" "$@"
    ) >"$log" 2>&1 </dev/null 9>&- &
    pid=$!
    disown "$pid"
    eventually 5 grep -q "^$name $pid " "$run/processes"
}

# The recorded pid of a process that still lives.
pid_of() {
    local name pid start
    while read -r name pid start; do
        if [[ $name == "$1" ]] && lives "$pid" "$start"; then
            printf '%s\n' "$pid"
            return 0
        fi
    done <"$run/processes"
    return 1
}

# end_process NAME [SIGNAL]: asks, waits, insists after ten seconds, strikes it off the record.
end_process() {
    local wanted=$1 signal=${2:-TERM} name pid start
    [[ -e $run/processes ]] || return 0
    while read -r name pid start; do
        [[ $name == "$wanted" ]] || continue
        lives "$pid" "$start" || continue
        kill -s "$signal" "$pid" 2>/dev/null || true
        eventually 10 gone "$pid" "$start" && continue
        say "lab: $name ($pid) had to be killed"
        kill -s KILL "$pid" 2>/dev/null || true
        eventually 5 gone "$pid" "$start" || die "$name ($pid) does not end"
    done <"$run/processes"
    grep -v "^$wanted " "$run/processes" >"$run/processes.new" || true
    mv "$run/processes.new" "$run/processes"
}

end_all_processes() {
    local name names
    [[ -e $run/processes ]] || return 0
    mapfile -t names < <(cut -d ' ' -f 1 "$run/processes" | sort -u)
    for name in "${names[@]}"; do
        end_process "$name"
    done
}
