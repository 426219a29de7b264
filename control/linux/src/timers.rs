//! How Linux looks after the neighbours of a new mirror tap.
//!
//! A director's next hop that changes its hardware address without a word has to be found out: the
//! traffic that would tell goes past Linux. With the kernel's own timers that takes from eight
//! seconds to most of a minute; with these, and the reminders of `neighbour.rs`, it is about one
//! second, for about two unicast requests a second to each neighbour in use. They are set on a tap
//! that is new: later changes are the operator's.

use crate::{Error, Namespace};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Files below /proc/sys/net/ipv4/neigh/TAP and its sibling of IPv6.
const TIMERS: [(&str, u32); 7] = [
    // Between half and one and a half times as long a confirmed neighbour passes for reachable.
    ("base_reachable_time_ms", 400),
    // Then it is asked as soon as somebody sends there, not after five seconds.
    ("delay_first_probe_time", 0),
    ("retrans_time_ms", 250),
    // Once alone; then all are asked, for five seconds, and frames go on to where it was.
    ("ucast_solicit", 1),
    ("mcast_resolicit", 20),
    // The answer counts although the entry has just changed: each question is a change.
    ("locktime", 0),
    // A new one has three seconds, as with the kernel's timers.
    ("mcast_solicit", 11),
];

/// Sets them. Where /proc/sys cannot be written, as in some containers, the kernel's own hold.
pub(crate) fn set(namespace: &Namespace, ifname: &str) -> Result<(), Error> {
    namespace.run(|| {
        for family in ["ipv4", "ipv6"] {
            let folder = Path::new("/proc/sys/net")
                .join(family)
                .join("neigh")
                .join(ifname);
            for (name, value) in TIMERS {
                match fs::write(folder.join(name), value.to_string()) {
                    Ok(()) => (),
                    // A kernel without IPv6, or without this one.
                    Err(error) if error.kind() == ErrorKind::NotFound => (),
                    Err(error) => {
                        tracing::warn!("{ifname}: {name} of {family} stays as it is: {error}");
                    }
                }
            }
        }
    })
}
