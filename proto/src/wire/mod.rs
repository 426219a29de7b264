//! Byte views of the headers: what the bytes say, without a judgement.
//!
//! Each view is a `zerocopy` struct with alignment 1, obtained by `ref_from_prefix` or
//! `mut_from_prefix`: that one length check proves every accessor. Whether a field makes sense is
//! for [`parse()`](crate::parse()) to say. One file per protocol; [`IpHeader`] is what IPv4 and
//! IPv6 have in common, so that rewriting has one body for both families.

pub mod ethernet;
pub mod gre;
pub mod gue;
pub mod icmp;
pub mod icmpv6;
pub mod ipv4;
pub mod ipv6;
mod network;
pub mod options;
mod ports;
pub mod sctp;
pub mod tcp;
pub mod udp;

pub use network::{IpHeader, Network, Plain};
pub use ports::Ports;
