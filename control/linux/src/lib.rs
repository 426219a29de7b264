//! Linux as the control plane of the director's interfaces.
//!
//! Each port has a mirror tap in a network namespace of the operator's choice; Linux
//! speaks ARP, neighbour discovery, routing protocols and VRRP there, and this crate turns
//! what Linux knows into the forwarding information that workers look packets up in. It
//! knows no DPDK and no command.
//!
//! - [`netns`]: doing something inside another network namespace
//! - [`tap`]: the persistent mirror tap of a port
//! - [`mirror`]: links, addresses, routes and neighbours as a pure value fed by netlink messages
//! - [`watcher`]: the netlink sockets that feed it
//! - [`neighbour`]: next hops that the kernel is asked to keep resolved; `timers` says how closely
//! - [`exchange`]: frames between the workers' rings and the taps
//! - [`ingress`]: keeping the host's own stack away from a netdev that serves as a port
#![deny(unsafe_code)]

mod budget;
pub mod error;
pub mod exchange;
pub mod ingress;
pub mod local;
pub mod mirror;
pub mod neighbour;
mod netlink;
pub mod netns;
mod nft;
pub mod tap;
mod timers;
mod tun;
pub mod watcher;

pub use budget::PER_SECOND;
pub use error::Error;
pub use exchange::{Exchange, ExchangeCounters, ExchangePort, NewTap};
pub use ingress::{IngressDrop, refuse_shared_namespace};
pub use local::LocalAddresses;
pub use mirror::{InterfaceState, Mirror, TapBinding, Update};
pub use neighbour::NeighbourKeeper;
pub use netns::Namespace;
pub use tap::{MirrorTap, TapConfig, check_name};
pub use watcher::Watcher;
