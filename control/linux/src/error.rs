//! What can go wrong between pvs and Linux: one variant for each distinct reaction, one line each
//! that says what was wrong and what would be right.

use std::io;
use std::path::PathBuf;

/// A failure of the Linux side.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The namespace does not exist.
    #[error("network namespace {name} does not exist: `ip netns add {name}` makes it")]
    NoNamespace {
        /// As the operator wrote it.
        name: String,
    },
    /// The path can be opened but is no network namespace, or cannot be opened.
    #[error("{} is not usable as a network namespace: {source}", path.display())]
    BadNamespace {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel refused to enter the namespace.
    #[error("cannot enter network namespace {name}: {source}; pvsd needs CAP_SYS_ADMIN for that")]
    EnterNamespace {
        /// As the operator wrote it.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The namespace lost its name, or its name leads to another one, while pvsd used it.
    #[error(
        "network namespace {name} was deleted while pvsd uses it: pvsd goes on inside, and moves to the next one \
         of that name (`ip netns add {name}`)"
    )]
    NamespaceGone {
        /// As the operator wrote it.
        name: String,
    },
    /// Not a possible interface name.
    #[error(
        "`{name}` is no interface name: 1 to 15 characters without `/`, `:`, `%` or spaces are needed"
    )]
    BadInterfaceName {
        /// As the operator wrote it.
        name: String,
    },
    /// /dev/net/tun cannot be opened.
    #[error("cannot open /dev/net/tun: {source}; `modprobe tun` and CAP_NET_ADMIN are needed")]
    NoTun {
        /// Why.
        source: io::Error,
    },
    /// Another process is attached to the tap.
    #[error("tap {name} is in use by another process (is pvsd running?)")]
    TapInUse {
        /// The tap.
        name: String,
    },
    /// An interface of another kind has the tap's name.
    #[error(
        "interface {name} exists and is not a plain tap: remove it, or give the mirror tap another name"
    )]
    NotATap {
        /// The interface.
        name: String,
    },
    /// The tap was deleted or moved to another namespace under the daemon.
    #[error("tap {name} was deleted while pvsd used it")]
    TapGone {
        /// The tap.
        name: String,
    },
    /// Something else about a tap.
    #[error("tap {name}: cannot {action}: {source}")]
    Tap {
        /// The tap.
        name: String,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A netlink request failed.
    #[error("netlink: cannot {action}: {source}")]
    Netlink {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A netdev that serves as a port is in the namespace of the mirror taps.
    #[error(
        "{ifname} is in network namespace {namespace} together with its mirror tap, so the host would handle each \
         of its packets too: give the mirror taps a namespace of their own (`ip netns add NAME`)"
    )]
    SharedNamespace {
        /// The netdev.
        ifname: String,
        /// The namespace.
        namespace: String,
    },
    /// The netdev does not exist.
    #[error("interface {ifname} does not exist in pvsd's network namespace")]
    NoInterface {
        /// The netdev.
        ifname: String,
    },
    /// The command `nft` is not installed.
    #[error("the command `nft` was not found: install the package nftables")]
    NoNft,
    /// The command `nft` failed.
    #[error("nft refused the ingress drop of {ifname}: {text}")]
    Nft {
        /// The netdev.
        ifname: String,
        /// The first line of what it said.
        text: String,
    },
    /// A living process has the netdev as its port.
    #[error("{ifname} already is a port of process {pid}: stop that one, or use another interface")]
    IngressInUse {
        /// The netdev.
        ifname: String,
        /// The process.
        pid: u32,
    },
    /// A file below /proc/sys cannot be read or written.
    #[error("cannot set {}: {source}", path.display())]
    Sysctl {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
