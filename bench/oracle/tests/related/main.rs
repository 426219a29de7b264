//! ICMP errors about connections: whose they are, what becomes of them, and what is counted. The
//! packets are those that kernel IPVS was asked about; decoders are independent.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod begins;
#[path = "../common/mod.rs"]
mod common;
mod options;
mod pieces;
mod strangers;
mod support;
mod translated;
mod tunnels;
mod workers;
