#!/usr/bin/env bash
# Labs in all their shapes: `scripts/lab test --matrix [LAB...]`. For each shape the tests of the labs run as
# a whole; the table has a line for each lab, and a column for each shape: workers, receive queues of a port, ports.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# A queue needs no worker of its own, and a worker no queue.
read -ra shapes <<<"${PVS_LAB_SHAPES:-1.1.1 1.1.2 1.2.1 1.2.2 2.1.1 2.1.2 2.2.1 2.2.2}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# in_shape WORKERS QUEUES PORTS LAB...: each line of the tests behind the name of the shape.
in_shape() {
    local shape=$1.$2.$3 rc=0
    PVS_LAB_WORKERS=$1 PVS_LAB_QUEUES=$2 PVS_LAB_PORTS=$3 "$here/test.sh" "${@:4}" |
        sed -u "/^[0-9]* passed, [0-9]* failed$/d; s/^/$shape  /" | tee -a "$log" || rc=$?
    return "$rc"
}

table() {
    awk -v shapes="${shapes[*]}" '
        $2 == "ok" || $2 == "FAIL" {
            lab = $3; sub(/:$/, "", lab)
            if (!(lab in seen)) { seen[lab] = 1; order[++labs] = lab }
            tried[lab, $1]++; bad[lab, $1] += $2 == "FAIL"
            if ($2 == "ok") passed++; else failed++
        }
        END {
            count = split(shapes, shape, " ")
            printf "\n%-10s", "lab"
            for (i = 1; i <= count; i++) printf " %-9s", shape[i]
            print "  (workers.queues.ports)"
            for (l = 1; l <= labs; l++) {
                lab = order[l]
                printf "%-10s", lab
                for (i = 1; i <= count; i++) {
                    key = lab SUBSEP shape[i]
                    printf " %-9s", !tried[key] ? "-" : bad[key] ? "FAIL (" bad[key] ")" : "ok (" tried[key] ")"
                }
                print ""
            }
            printf "\n%d passed, %d failed\n", passed, failed
            exit failed > 0 || !passed
        }' "$log"
}

for shape in "${shapes[@]}"; do
    IFS=. read -r workers queues ports <<<"$shape"
    in_shape "$workers" "$queues" "$ports" "${@:-all}" || true
done
table
