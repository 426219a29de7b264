//! Why packets were lost.

use serde::{Deserialize, Serialize};

/// Where a packet's way ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossPlace {
    /// A worker dropped a sound packet.
    Dropped,
    /// A worker received a frame that is malformed.
    Malformed,
    /// Between the workers and Linux.
    Linux,
    /// In a port's device.
    Device,
}

/// A reason for which packets can be lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossView {
    /// The counter's name.
    pub reason: String,
    /// Where.
    pub place: LossPlace,
    /// Packets that were lost for it since pvsd started.
    pub packets: u64,
    /// What it means.
    pub sentence: String,
}
