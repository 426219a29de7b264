//! An interface: opened by name, with the queues, offloads and RSS that it can have.
//!
//! Opening negotiates, sets up, and starts; what was obtained is in [`Caps`] and
//! [`RssState`]. There is no stop: the device stops and closes when the `Device` and
//! all its ports are gone, and cannot be opened again in this process then.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;

use dpdk_sys as sys;
use pvs_dataplane::port::Caps;
use pvs_proto::MacAddr;

use crate::config::{Choice, DeviceConfig, DeviceError, DeviceInfo};
use crate::ethdev::{self, Ethdev, Failure};
use crate::rss::RssState;
use crate::{DpdkPort, Eal, Mempool, devargs};

/// A running interface, as control sees it. Workers have its [`DpdkPort`]s.
#[derive(Debug)]
pub struct Device {
    name: String,
    caps: Caps,
    frame_max: u16,
    pub(crate) info: DeviceInfo,
    pub(crate) rss: RssState,
    pub(crate) ethdev: Arc<Ethdev>,
    /// Drivers do not expect two control calls at once.
    not_sync: PhantomData<Cell<()>>,
}

impl Device {
    /// What the device called `name` is.
    ///
    /// # Errors
    /// There is none, or its driver refuses.
    pub fn describe(eal: &Eal, name: &str) -> Result<DeviceInfo, DeviceError> {
        let id = find(eal, name)?;
        let raw = ethdev::info(id).map_err(|f| refused(name, f))?;
        Ok(DeviceInfo::new(&raw))
    }

    /// Opens and starts a device, with all its queues fed from `pool`. Yields it and one port for
    /// each queue pair.
    ///
    /// # Errors
    /// See [`DeviceError`].
    pub fn open(
        eal: &Eal,
        name: &str,
        config: &DeviceConfig,
        pool: &Mempool,
    ) -> Result<(Self, Vec<DpdkPort>), DeviceError> {
        let id = find(eal, name)?;
        let raw = ethdev::info(id).map_err(|f| refused(name, f))?;
        let info = DeviceInfo::new(&raw);
        info.check(name, config, pool)?;
        let claimed = Ethdev::claim(id).map_err(|f| refused(name, f))?;
        let Some(mut ethdev) = claimed else {
            return Err(DeviceError::InUse {
                device: name.to_owned(),
            });
        };
        let choice = Choice::negotiate(config, &raw);
        start(&mut ethdev, config, &choice, &info, pool).map_err(|f| refused(name, f))?;
        let caps = caps(&ethdev, config.queues, &choice).map_err(|f| refused(name, f))?;
        let ethdev = Arc::new(ethdev);
        let ports = (0..config.queues)
            .map(|queue| DpdkPort::new(Arc::clone(&ethdev), queue, *pool, caps.clone()))
            .collect();
        let device = Self {
            name: name.to_owned(),
            caps,
            frame_max: pool.frame_max(),
            info,
            rss: choice.state,
            ethdev,
            not_sync: PhantomData,
        };
        Ok((device, ports))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is.
    #[must_use]
    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// What was obtained when it was opened; the same as its ports'.
    #[must_use]
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// Receives frames for every address, or no longer. False: the driver has no such switch.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn set_promiscuous(&self, on: bool) -> Result<bool, DeviceError> {
        self.ethdev.set_promiscuous(on).map_err(|f| self.failed(f))
    }

    /// Receives all multicast, or no longer. False: the driver has no such switch.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn set_allmulticast(&self, on: bool) -> Result<bool, DeviceError> {
        self.ethdev.set_allmulticast(on).map_err(|f| self.failed(f))
    }

    /// Takes the link up or down. False: the driver has no such switch.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn set_link(&self, up: bool) -> Result<bool, DeviceError> {
        self.ethdev.set_link(up).map_err(|f| self.failed(f))
    }

    /// The MTU now.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn mtu(&self) -> Result<u16, DeviceError> {
        self.ethdev.mtu().map_err(|f| self.failed(f))
    }

    /// Changes the MTU while the device runs. False: the driver cannot. Ports' [`Caps`] stay as
    /// they are.
    ///
    /// # Errors
    /// It is out of range, its frames do not fit the pool's buffers, or the driver refuses.
    pub fn set_mtu(&self, mtu: u16) -> Result<bool, DeviceError> {
        self.info.check_mtu(&self.name, mtu, self.frame_max)?;
        self.ethdev.set_mtu(mtu).map_err(|f| self.failed(f))
    }

    /// The hardware address now.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn mac(&self) -> Result<MacAddr, DeviceError> {
        self.ethdev.mac().map(MacAddr).map_err(|f| self.failed(f))
    }

    /// Changes the hardware address. False: the driver cannot. Ports' [`Caps`] stay as they are.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn set_mac(&self, mac: MacAddr) -> Result<bool, DeviceError> {
        self.ethdev.set_mac(mac.0).map_err(|f| self.failed(f))
    }

    /// Receives frames for a further hardware address, or no longer. False: the driver cannot.
    ///
    /// # Errors
    /// The driver refuses, or has no room for another.
    pub fn receive_mac(&self, mac: MacAddr, on: bool) -> Result<bool, DeviceError> {
        self.ethdev
            .receive_mac(mac.0, on)
            .map_err(|f| self.failed(f))
    }

    pub(crate) fn failed(&self, failure: Failure) -> DeviceError {
        refused(&self.name, failure)
    }
}

fn find(eal: &Eal, name: &str) -> Result<u16, DeviceError> {
    ethdev::find(&devargs::listed_name(name)).ok_or_else(|| DeviceError::Unknown {
        device: name.to_owned(),
        known: eal.devices().join(", "),
    })
}

fn start(
    ethdev: &mut Ethdev,
    config: &DeviceConfig,
    choice: &Choice,
    info: &DeviceInfo,
    pool: &Mempool,
) -> Result<(), Failure> {
    let mut conf = sys::rte_eth_conf::default();
    conf.rxmode.mtu = u32::from(config.mtu.unwrap_or(info.default_mtu()));
    conf.rxmode.offloads = choice.rx_offloads;
    let key = config.rss.as_ref().and_then(|rss| rss.key.as_deref());
    let mut key = key
        .and_then(|key| key.get(..info.rss_key_len))
        .map(<[u8]>::to_vec);
    if choice.hash != 0 {
        conf.rxmode.mq_mode = sys::rte_eth_rx_mq_mode::RTE_ETH_MQ_RX_RSS;
        conf.rx_adv_conf.rss_conf.rss_hf = choice.hash;
        if let Some(key) = &mut key {
            conf.rx_adv_conf.rss_conf.rss_key = key.as_mut_ptr();
            conf.rx_adv_conf.rss_conf.rss_key_len = u8::try_from(key.len()).unwrap_or(u8::MAX);
        }
    }
    ethdev.configure(config.queues, &conf)?;
    let (rx, tx) = ethdev.adjust_descriptors(config.rx_descriptors, config.tx_descriptors)?;
    for queue in 0..config.queues {
        ethdev.set_up_queues(queue, rx, tx, pool)?;
    }
    if let Some(mtu) = config.mtu {
        ethdev.set_mtu(mtu)?;
    }
    ethdev.start()?;
    // Some drivers (net_null) leave the configured key aside until it is set once more.
    if let Some(mut key) = key.filter(|_| choice.hash != 0) {
        ethdev.set_rss(&mut key, choice.hash)?;
    }
    ethdev.set_promiscuous(config.promiscuous)?;
    ethdev.set_allmulticast(config.allmulticast).map(drop)
}

fn caps(ethdev: &Ethdev, queues: u16, choice: &Choice) -> Result<Caps, Failure> {
    Ok(Caps {
        mac: MacAddr(ethdev.mac()?),
        mtu: u32::from(ethdev.mtu()?),
        queues,
        rx_ip_checksum: choice.rx_offloads & u64::from(sys::RTE_ETH_RX_OFFLOAD_IPV4_CKSUM) != 0,
        tx_ip_checksum: false,
        tx_l4_checksum: false,
    })
}

fn refused(device: &str, failure: Failure) -> DeviceError {
    DeviceError::Refused {
        device: device.to_owned(),
        what: failure.what,
        error: failure.error,
    }
}
