# Edits of the configuration under load: the lab `workers`.
# shellcheck shell=bash disable=SC2034,SC2154

# shellcheck source=/dev/null
source "$labs_dir/workers.sh"
