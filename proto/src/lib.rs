//! Wire formats, packet metadata, checksums and transport state tables: the pure part of pvs.
//!
//! A header is read through a byte view that makes no judgement ([`wire`]); one pass ([`parse()`])
//! turns a frame into a small, always-valid [`Meta`] that every later stage trusts. Nothing here
//! allocates, reads a clock, or knows who uses it.
#![forbid(unsafe_code)]

pub mod addr;
pub mod checksum;
pub mod mac;
pub mod meta;
pub mod parse;
pub mod sip;
pub mod state;
pub mod time;
pub mod wire;

pub use addr::{Addr4, Addr6, Address, Endpoint, Family, V4, V6};
pub use mac::MacAddr;
pub use meta::{Fragment, Link, Malformed, Meta, Other, Packet, Protocol, VlanId};
pub use parse::{Checks, Parse, parse, parse_link};
pub use time::Ticks;
