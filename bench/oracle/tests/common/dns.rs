//! Clients, services and servers of DNS, in both families.
#![allow(dead_code, missing_docs)]

pub const VIP: &str = "10.0.0.100:53";
pub const VIP6: &str = "[fd00::100]:53";
pub const CLIENT: &str = super::CLIENT;
pub const CLIENT6: &str = "[fd77::1]:4001";
pub const SERVER: &str = "192.168.1.1:53";
pub const SERVER6: &str = "[fd01::1]:53";

/// Client, service and server for each pair of families: inner, then outer.
pub const PAIRS: [(&str, &str, &str); 4] = [
    (CLIENT, VIP, SERVER),
    (CLIENT6, VIP6, SERVER6),
    (CLIENT6, VIP6, SERVER),
    (CLIENT, VIP, SERVER6),
];
