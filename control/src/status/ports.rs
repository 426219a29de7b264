//! The ports: DPDK's devices.

use serde::{Deserialize, Serialize};

/// A port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PortView {
    /// Its index.
    pub port: u16,
    /// The device's name.
    pub device: String,
    /// Its driver.
    pub driver: String,
    /// Its mirror tap's name.
    pub mirror: String,
    /// Who is on it: client, server, both.
    pub role: String,
    /// Its hardware address.
    pub mac: String,
    /// Largest IP packet, in bytes.
    pub mtu: u32,
    /// Queue pairs.
    pub queues: u16,
    /// Whether frames can pass, if the driver can say.
    pub link_up: Option<bool>,
    /// Its speed, if the driver knows.
    pub speed_mbps: Option<u32>,
    /// Frames received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Frames dropped by the device, since no worker took them in time.
    pub rx_missed: u64,
    /// Erroneous frames received.
    pub rx_errors: u64,
    /// Frames for which the pool had no buffer.
    pub rx_no_buffer: u64,
    /// Frames dropped since they came in several buffers.
    pub rx_chained: u64,
    /// Frames sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Frames that the device failed to send.
    pub tx_errors: u64,
}
