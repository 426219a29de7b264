//! Datagrams that come in pieces: whatever the pieces and their order, one datagram is decided,
//! counted and sent on; and what is never put together is bounded and counted.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod bounds;
#[path = "../common/mod.rs"]
mod common;
mod leaving;
mod support;
mod whole;
