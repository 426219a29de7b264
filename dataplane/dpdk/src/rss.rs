//! Receive-side scaling: which fields a NIC hashes to choose a queue, with which key and table.
//!
//! A driver that cannot hash what is asked for is left without RSS, and says so; it is the caller's
//! to steer otherwise. The hash itself (Toeplitz) is not computed here.

use dpdk_sys as sys;

use crate::Device;
use crate::config::DeviceError;

/// What is asked of the NIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RssConfig {
    /// The fields to be hashed.
    pub fields: RssFields,
    /// The key, of which a NIC takes as many bytes as its keys have (52 are enough for those
    /// known); `None` is the driver's, which everybody knows.
    pub key: Option<Vec<u8>>,
}

/// Fields of IPv4 and IPv6 packets that choose the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RssFields {
    /// Addresses and ports: a flow stays on one queue.
    Flow,
    /// Source address and port: a client's endpoint, where packets come from clients.
    Source,
    /// Destination address and port: a client's endpoint, where packets come from real servers.
    Destination,
}

/// What has become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RssState {
    /// Not asked for, or only one queue.
    Off,
    /// The driver cannot hash these fields; how it spreads packets, if it does, is its own affair.
    Unsupported,
    /// The NIC hashes what was asked for.
    On(RssFields),
}

/// The protocols that are hashed, as far as the NIC knows them.
const PROTOCOLS: u64 =
    (sys::RTE_ETH_RSS_IP | sys::RTE_ETH_RSS_TCP | sys::RTE_ETH_RSS_UDP | sys::RTE_ETH_RSS_SCTP)
        as u64;

/// The least that must be hashed: plain IPv4 or IPv6 packets.
const LEAST: u64 = sys::RTE_ETH_RSS_IP as u64;

impl RssFields {
    fn only(self) -> u64 {
        match self {
            Self::Flow => 0,
            Self::Source => sys::RTE_ETH_RSS_L3_SRC_ONLY as u64 | sys::RTE_ETH_RSS_L4_SRC_ONLY,
            Self::Destination => sys::RTE_ETH_RSS_L3_DST_ONLY | sys::RTE_ETH_RSS_L4_DST_ONLY,
        }
    }

    /// What to ask of a NIC that offers `offered`; `None` if that would be something else.
    pub(crate) fn negotiate(self, offered: u64) -> Option<u64> {
        let protocols = offered & PROTOCOLS;
        (offered & self.only() == self.only() && protocols & LEAST != 0)
            .then_some(protocols | self.only())
    }
}

impl Device {
    /// What has become of the RSS that was asked for.
    #[must_use]
    pub fn rss(&self) -> RssState {
        self.rss
    }

    /// The indirection table: the queue for each value of the hash's low bits.
    ///
    /// # Errors
    /// The driver has none.
    pub fn rss_table(&self) -> Result<Vec<u16>, DeviceError> {
        let size = self.ethdev.info().map_err(|f| self.failed(f))?.reta_size;
        let group = sys::rte_eth_rss_reta_entry64 {
            mask: u64::MAX,
            ..Default::default()
        };
        let mut table = vec![group; usize::from(size).div_ceil(64)];
        self.ethdev
            .reta(&mut table, size)
            .map_err(|f| self.failed(f))?;
        Ok(table
            .iter()
            .flat_map(|group| group.reta)
            .take(usize::from(size))
            .collect())
    }

    /// The key in use.
    ///
    /// # Errors
    /// The driver does not tell.
    pub fn rss_key(&self) -> Result<Vec<u8>, DeviceError> {
        self.ethdev
            .rss_key(self.info.rss_key_len)
            .map_err(|f| self.failed(f))
    }
}

#[cfg(test)]
mod tests {
    use super::{PROTOCOLS, RssFields};

    #[test]
    fn only_what_was_meant_is_negotiated() {
        let source = RssFields::Source.only();
        assert_eq!(RssFields::Flow.negotiate(0), None);
        assert_eq!(RssFields::Flow.negotiate(PROTOCOLS), Some(PROTOCOLS));
        assert_eq!(
            RssFields::Source.negotiate(PROTOCOLS),
            None,
            "a flow hash is no source hash"
        );
        assert_eq!(
            RssFields::Source.negotiate(PROTOCOLS | source),
            Some(PROTOCOLS | source)
        );
        assert_eq!(RssFields::Destination.negotiate(PROTOCOLS | source), None);
        assert_eq!(
            RssFields::Flow.negotiate(PROTOCOLS | source),
            Some(PROTOCOLS)
        );
    }
}
