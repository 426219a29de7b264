//! How a device is to be opened, what it is, and what can be had of the one from the other.
//!
//! All that is checked before a device is touched is checked here, so that a refusal leaves it as
//! it was. Transmit checksum offloads are not asked for, since a
//! [`Buf`](pvs_dataplane::port::Buf) has no way to request one.

use std::io;
use thiserror::Error;

use dpdk_sys as sys;

use crate::rss::{RssConfig, RssFields, RssState};
use crate::{Mempool, eal};

/// Ethernet header and one VLAN tag: what a frame has beside its packet.
const FRAME_OVERHEAD: u32 = 18;
/// The length of RSS keys where a driver does not tell (rte_ethdev.h).
const RSS_KEY_LEN: u8 = 40;
/// The driver that spreads frames over all its queues, read or not.
const SPREADS_ALWAYS: &str = "net_af_packet";

/// How a device is opened.
#[derive(Clone, Debug)]
pub struct DeviceConfig {
    /// Receive queues, and transmit queues.
    pub queues: u16,
    /// Descriptors in a receive queue; the nearest number that the device can have is used.
    pub rx_descriptors: u16,
    /// Descriptors in a transmit queue; likewise.
    pub tx_descriptors: u16,
    /// The MTU; `None` is 1500, or the largest if that is less.
    pub mtu: Option<u16>,
    /// How packets are spread over several queues.
    pub rss: Option<RssConfig>,
    /// Let the device verify IPv4 header checksums, if it can.
    pub rx_ip_checksum: bool,
    /// Receive frames for every address, if the device can.
    pub promiscuous: bool,
    /// Receive all multicast, if the device can.
    pub allmulticast: bool,
}

impl Default for DeviceConfig {
    fn default() -> Self {
        Self {
            queues: 1,
            rx_descriptors: 1024,
            tx_descriptors: 1024,
            mtu: None,
            rss: None,
            rx_ip_checksum: true,
            promiscuous: true,
            allmulticast: true,
        }
    }
}

/// What a device is, before and after it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its driver.
    pub driver: String,
    /// The fewest queue pairs that it can be opened with.
    pub min_queues: u16,
    /// The most.
    pub max_queues: u16,
    /// The smallest MTU that it can have.
    pub min_mtu: u16,
    /// The largest.
    pub max_mtu: u16,
    /// Bytes of its RSS key.
    pub rss_key_len: usize,
}

/// Why a device cannot be opened, or does not do as told.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// DPDK has no device of this name.
    #[error("device {device}: not among those that DPDK has ({known})")]
    Unknown {
        /// The device.
        device: String,
        /// Those that there are.
        known: String,
    },
    /// It is open.
    #[error("device {device}: in use")]
    InUse {
        /// The device.
        device: String,
    },
    /// It cannot have so many, or so few, queues.
    #[error("device {device}: {asked} queues asked for, {min} to {max} are possible")]
    Queues {
        /// The device.
        device: String,
        /// Queues asked for.
        asked: u16,
        /// The fewest possible.
        min: u16,
        /// The most possible.
        max: u16,
    },
    /// The MTU is out of its range, or its frames do not fit the pool's buffers.
    #[error("device {device}: MTU {asked} asked for, {min} to {max} are possible")]
    Mtu {
        /// The device.
        device: String,
        /// The MTU asked for.
        asked: u16,
        /// The least possible.
        min: u16,
        /// The most possible, with this pool.
        max: u16,
    },
    /// The RSS key is too short for it.
    #[error("device {device}: its RSS keys have {needed} bytes, {given} were given")]
    RssKey {
        /// The device.
        device: String,
        /// Bytes needed.
        needed: usize,
        /// Bytes given.
        given: usize,
    },
    /// DPDK or the driver refused a call.
    #[error("device {device}: {what}: {error}")]
    Refused {
        /// The device.
        device: String,
        /// What was called for.
        what: &'static str,
        /// The reason.
        error: io::Error,
    },
}

impl DeviceInfo {
    pub(crate) fn new(raw: &sys::rte_eth_dev_info) -> Self {
        let driver = eal::text(raw.driver_name);
        let max_queues = raw.max_rx_queues.min(raw.max_tx_queues);
        let min_queues = if driver == SPREADS_ALWAYS {
            max_queues
        } else {
            1
        };
        let key_len = if raw.hash_key_size == 0 {
            RSS_KEY_LEN
        } else {
            raw.hash_key_size
        };
        Self {
            driver,
            min_queues,
            max_queues,
            min_mtu: raw.min_mtu,
            max_mtu: raw.max_mtu,
            rss_key_len: usize::from(key_len),
        }
    }

    pub(crate) fn check(
        &self,
        device: &str,
        config: &DeviceConfig,
        pool: &Mempool,
    ) -> Result<(), DeviceError> {
        let asked = config.queues;
        if asked < self.min_queues || asked > self.max_queues {
            let (min, max) = (self.min_queues, self.max_queues);
            return Err(DeviceError::Queues {
                device: device.to_owned(),
                asked,
                min,
                max,
            });
        }
        let key = config.rss.as_ref().and_then(|rss| rss.key.as_ref());
        if let Some(given) = key.map(Vec::len).filter(|&len| len < self.rss_key_len) {
            let needed = self.rss_key_len;
            return Err(DeviceError::RssKey {
                device: device.to_owned(),
                needed,
                given,
            });
        }
        self.check_mtu(
            device,
            config.mtu.unwrap_or(self.default_mtu()),
            pool.frame_max(),
        )
    }

    pub(crate) fn check_mtu(
        &self,
        device: &str,
        asked: u16,
        frame_max: u16,
    ) -> Result<(), DeviceError> {
        let fits = u32::from(frame_max).saturating_sub(FRAME_OVERHEAD);
        let max = u16::try_from(fits).unwrap_or(u16::MAX).min(self.max_mtu);
        if asked < self.min_mtu || asked > max {
            let min = self.min_mtu;
            return Err(DeviceError::Mtu {
                device: device.to_owned(),
                asked,
                min,
                max,
            });
        }
        Ok(())
    }

    pub(crate) fn default_mtu(&self) -> u16 {
        self.max_mtu.min(1500)
    }
}

/// What is asked of the driver, of what it offers.
pub(crate) struct Choice {
    pub(crate) rx_offloads: u64,
    pub(crate) hash: u64,
    pub(crate) state: RssState,
}

impl Choice {
    pub(crate) fn negotiate(config: &DeviceConfig, raw: &sys::rte_eth_dev_info) -> Self {
        let wanted = if config.rx_ip_checksum {
            u64::from(sys::RTE_ETH_RX_OFFLOAD_IPV4_CKSUM)
        } else {
            0
        };
        let (hash, state) = match &config.rss {
            Some(rss) if config.queues > 1 => {
                match rss.fields.negotiate(raw.flow_type_rss_offloads) {
                    Some(hash) => (hash, RssState::On(rss.fields)),
                    // Spread at least, so that not one queue receives everything.
                    None => {
                        let flow = RssFields::Flow.negotiate(raw.flow_type_rss_offloads);
                        (flow.unwrap_or(0), RssState::Unsupported)
                    }
                }
            }
            _ => (0, RssState::Off),
        };
        Self {
            rx_offloads: wanted & raw.rx_offload_capa,
            hash,
            state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nic_that_can_t_hash_one_end_spreads_by_both() {
        let config = |fields| DeviceConfig {
            queues: 4,
            rss: Some(RssConfig { fields, key: None }),
            ..DeviceConfig::default()
        };
        let offering = |flow_type_rss_offloads| sys::rte_eth_dev_info {
            flow_type_rss_offloads,
            ..Default::default()
        };
        let raw = offering(!(sys::RTE_ETH_RSS_L3_SRC_ONLY as u64));
        let flow = Choice::negotiate(&config(RssFields::Flow), &raw);
        assert!(flow.hash != 0 && matches!(flow.state, RssState::On(RssFields::Flow)));
        let source = Choice::negotiate(&config(RssFields::Source), &raw);
        assert_eq!(source.hash, flow.hash);
        assert!(matches!(source.state, RssState::Unsupported));
        let none = Choice::negotiate(&config(RssFields::Source), &offering(0));
        assert!(none.hash == 0 && matches!(none.state, RssState::Unsupported));
    }
}
