//! The forwarding engine: generic over [`port::Port`], knowing neither DPDK nor any socket.
#![deny(unsafe_code)]

mod apart;
pub mod engine;
pub mod fib;
pub mod handover;
pub mod memory;
pub mod port;
pub mod punt;
pub mod reason;
pub mod slab;
pub mod stats;
pub mod steering;
pub mod table;
pub mod worker;
