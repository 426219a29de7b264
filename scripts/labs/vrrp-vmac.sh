# VRRP as in the lab `vrrp`, with the virtual router's own hardware address: keepalived makes a macvlan on
# the mirror, and the VIP moves together with that address.
# shellcheck shell=bash disable=SC2034,SC2154

# shellcheck source=/dev/null
source "$labs_dir/vrrp.sh"

checks_of=vrrp
vrrp_options="use_vmac vrrp51"

# RFC 5798, 7.3: the last byte is the virtual router's number, 51.
vip_mac() { echo 00:00:5e:00:01:33; }
