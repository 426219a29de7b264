# Edits of the configuration under load: the lab `workers`.
# shellcheck shell=bash disable=SC2034,SC2154

# shellcheck source=/dev/null
source "$labs_dir/workers.sh"
workers=${PVS_LAB_WORKERS:-2} queues=${PVS_LAB_QUEUES:-1} steering=${PVS_LAB_STEERING:-ring}
