# Deaths of pvsd with AF_XDP sockets, whose program stays on the interface: the lab `deaths`.
# shellcheck shell=bash disable=SC2034,SC2154

# shellcheck source=/dev/null
source "$labs_dir/deaths.sh"
checks_of=deaths driver=af_xdp
