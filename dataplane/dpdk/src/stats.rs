//! Link state and statistics of a device, in Rust's types.
//!
//! The numbers are the driver's; nothing is added up here except chained frames, which ports count.

use std::ffi::c_char;
use std::sync::atomic::Ordering;

use crate::Device;
use crate::config::DeviceError;

/// RTE_ETH_SPEED_NUM_UNKNOWN and RTE_ETH_SPEED_NUM_NONE.
const NO_SPEED: [u32; 2] = [u32::MAX, 0];

/// The state of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Frames can pass.
    pub up: bool,
    /// Its speed, if the driver knows.
    pub speed_mbps: Option<u32>,
    /// Both directions at once.
    pub full_duplex: bool,
}

/// What a device has counted since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames received.
    pub rx_frames: u64,
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
    pub tx_frames: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Frames that the device failed to send.
    pub tx_errors: u64,
}

/// A statistic that the driver names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xstat {
    /// The driver's name for it.
    pub name: String,
    /// Its value.
    pub value: u64,
}

impl Device {
    /// The link, as the driver last saw it.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn link(&self) -> Result<Link, DeviceError> {
        let (speed, up, full_duplex) = self.ethdev.link().map_err(|f| self.failed(f))?;
        let speed_mbps = Some(speed).filter(|speed| !NO_SPEED.contains(speed));
        Ok(Link {
            up,
            speed_mbps,
            full_duplex,
        })
    }

    /// The device's counters.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn stats(&self) -> Result<Stats, DeviceError> {
        let raw = self.ethdev.stats().map_err(|f| self.failed(f))?;
        Ok(Stats {
            rx_frames: raw.ipackets,
            rx_bytes: raw.ibytes,
            rx_missed: raw.imissed,
            rx_errors: raw.ierrors,
            rx_no_buffer: raw.rx_nombuf,
            rx_chained: self.ethdev.chained.load(Ordering::Relaxed),
            tx_frames: raw.opackets,
            tx_bytes: raw.obytes,
            tx_errors: raw.oerrors,
        })
    }

    /// All that the driver counts, under the driver's names.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn xstats(&self) -> Result<Vec<Xstat>, DeviceError> {
        let count = self
            .ethdev
            .xstat_names(&mut [])
            .map_err(|f| self.failed(f))?;
        let mut names = vec![dpdk_sys::rte_eth_xstat_name::default(); count];
        self.ethdev
            .xstat_names(&mut names)
            .map_err(|f| self.failed(f))?;
        let mut values = vec![dpdk_sys::rte_eth_xstat::default(); count];
        let filled = self
            .ethdev
            .xstats(&mut values)
            .map_err(|f| self.failed(f))?;
        let named = |value: &dpdk_sys::rte_eth_xstat| {
            let name = names.get(usize::try_from(value.id).ok()?)?;
            Some(Xstat {
                name: text(&name.name),
                value: value.value,
            })
        };
        Ok(values.iter().take(filled).filter_map(named).collect())
    }
}

/// A C string in an array of fixed size.
fn text(chars: &[c_char]) -> String {
    let bytes: Vec<u8> = chars
        .iter()
        .map(|&c| c as u8)
        .take_while(|&byte| byte != 0)
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
