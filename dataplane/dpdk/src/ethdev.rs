//! One Ethernet device of DPDK, claimed: each control call, made safe and nothing more.
//!
//! A device is owned through DPDK's own ownership, so that it is opened once; it stops and
//! closes on drop, which ports delay by holding it. Which calls are made, and in which order,
//! is device.rs's affair. Frames do not pass here.

#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int, c_uint};
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::mempool::Mempool;

/// A device that is ours.
#[derive(Debug)]
pub(crate) struct Ethdev {
    id: u16,
    owner: u64,
    configured: bool,
    started: bool,
    /// It was made promiscuous, which a kernel interface behind it would stay.
    promiscuous: AtomicBool,
    /// Chained frames that ports have dropped.
    pub(crate) chained: AtomicU64,
}

/// A call that DPDK or the driver refused.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) what: &'static str,
    pub(crate) error: io::Error,
}

/// The calls' result: negative ones are errno.
fn check(what: &'static str, rc: c_int) -> Result<c_int, Failure> {
    if rc < 0 {
        Err(Failure {
            what,
            error: io::Error::from_raw_os_error(-rc),
        })
    } else {
        Ok(rc)
    }
}

/// As `check`; false if the driver does not offer the call.
fn offered(what: &'static str, rc: c_int) -> Result<bool, Failure> {
    if rc == -libc::ENOTSUP {
        Ok(false)
    } else {
        check(what, rc).map(|_| true)
    }
}

/// The device with this name.
pub(crate) fn find(name: &str) -> Option<u16> {
    let name = CString::new(name).ok()?;
    let mut id = 0;
    // SAFETY: a C string and a writable integer, both of which live over the call.
    let rc = unsafe { dpdk_sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &raw mut id) };
    (rc == 0).then_some(id)
}

/// What a device is and can do; it need not be ours.
pub(crate) fn info(id: u16) -> Result<dpdk_sys::rte_eth_dev_info, Failure> {
    let mut info = dpdk_sys::rte_eth_dev_info::default();
    // SAFETY: `info` is writable; DPDK checks `id`.
    let rc = unsafe { dpdk_sys::rte_eth_dev_info_get(id, &raw mut info) };
    check("device information", rc).map(|_| info)
}

impl Ethdev {
    /// Takes the device; `None` if somebody has it.
    pub(crate) fn claim(id: u16) -> Result<Option<Self>, Failure> {
        let mut owner = dpdk_sys::rte_eth_dev_owner::default();
        // SAFETY: `owner.id` is writable.
        let rc = unsafe { dpdk_sys::rte_eth_dev_owner_new(&raw mut owner.id) };
        check("device owner", rc)?;
        for (to, from) in owner.name.iter_mut().zip(b"pvs") {
            *to = *from as c_char;
        }
        // SAFETY: `owner` lives over the call, and DPDK copies it; DPDK checks `id`.
        let rc = unsafe { dpdk_sys::rte_eth_dev_owner_set(id, &raw const owner) };
        if rc == -libc::EPERM {
            return Ok(None);
        }
        check("device owner", rc)?;
        Ok(Some(Self {
            id,
            owner: owner.id,
            configured: false,
            started: false,
            promiscuous: AtomicBool::new(false),
            chained: AtomicU64::new(0),
        }))
    }

    /// The burst functions' table entry for this device.
    pub(crate) fn burst_functions(&self) -> *const dpdk_sys::rte_eth_fp_ops {
        let table = (&raw const dpdk_sys::rte_eth_fp_ops).cast::<dpdk_sys::rte_eth_fp_ops>();
        table.wrapping_add(usize::from(self.id))
    }

    pub(crate) fn info(&self) -> Result<dpdk_sys::rte_eth_dev_info, Failure> {
        info(self.id)
    }

    pub(crate) fn configure(
        &mut self,
        queues: u16,
        conf: &dpdk_sys::rte_eth_conf,
    ) -> Result<(), Failure> {
        self.configured = true;
        // SAFETY: `conf` and the RSS key in it live over the call, and DPDK copies them.
        let rc = unsafe { dpdk_sys::rte_eth_dev_configure(self.id, queues, queues, conf) };
        check("configuration", rc).map(drop)
    }

    /// The nearest numbers of descriptors that the device can have.
    pub(crate) fn adjust_descriptors(
        &self,
        mut rx: u16,
        mut tx: u16,
    ) -> Result<(u16, u16), Failure> {
        // SAFETY: both integers are writable.
        let rc = unsafe {
            dpdk_sys::rte_eth_dev_adjust_nb_rx_tx_desc(self.id, &raw mut rx, &raw mut tx)
        };
        check("descriptors", rc).map(|_| (rx, tx))
    }

    /// Sets up the receive and the transmit queue of this number.
    pub(crate) fn set_up_queues(
        &mut self,
        queue: u16,
        rx: u16,
        tx: u16,
        pool: &Mempool,
    ) -> Result<(), Failure> {
        // SAFETY: DPDK checks `id`.
        let socket = unsafe { dpdk_sys::rte_eth_dev_socket_id(self.id) };
        // SOCKET_ID_ANY is -1 here and the largest number below.
        let socket = socket as c_uint;
        // SAFETY: a null configuration is the driver's default; the pool is never freed.
        let rc = unsafe {
            dpdk_sys::rte_eth_rx_queue_setup(self.id, queue, rx, socket, ptr::null(), pool.as_ptr())
        };
        check("receive queue", rc)?;
        // SAFETY: a null configuration is the driver's default.
        let rc =
            unsafe { dpdk_sys::rte_eth_tx_queue_setup(self.id, queue, tx, socket, ptr::null()) };
        check("transmit queue", rc).map(drop)
    }

    pub(crate) fn start(&mut self) -> Result<(), Failure> {
        // SAFETY: no port polls the device yet: ports are made from a started one.
        let rc = unsafe { dpdk_sys::rte_eth_dev_start(self.id) };
        check("start", rc)?;
        self.started = true;
        Ok(())
    }

    /// False if the driver has no such switch.
    pub(crate) fn set_promiscuous(&self, on: bool) -> Result<bool, Failure> {
        let call = if on {
            dpdk_sys::rte_eth_promiscuous_enable
        } else {
            dpdk_sys::rte_eth_promiscuous_disable
        };
        // SAFETY: DPDK checks `id`.
        let done = offered("promiscuous mode", unsafe { call(self.id) })?;
        self.promiscuous.store(on && done, Relaxed);
        Ok(done)
    }

    /// False if the driver has no such switch.
    pub(crate) fn set_allmulticast(&self, on: bool) -> Result<bool, Failure> {
        let call = if on {
            dpdk_sys::rte_eth_allmulticast_enable
        } else {
            dpdk_sys::rte_eth_allmulticast_disable
        };
        // SAFETY: DPDK checks `id`.
        offered("reception of multicast", unsafe { call(self.id) })
    }

    /// False if the driver has no such switch.
    pub(crate) fn set_link(&self, up: bool) -> Result<bool, Failure> {
        let call = if up {
            dpdk_sys::rte_eth_dev_set_link_up
        } else {
            dpdk_sys::rte_eth_dev_set_link_down
        };
        // SAFETY: DPDK checks `id`.
        offered("link", unsafe { call(self.id) })
    }

    pub(crate) fn mtu(&self) -> Result<u16, Failure> {
        let mut mtu = 0;
        // SAFETY: `mtu` is writable.
        let rc = unsafe { dpdk_sys::rte_eth_dev_get_mtu(self.id, &raw mut mtu) };
        check("MTU", rc).map(|_| mtu)
    }

    /// False if the driver cannot set it.
    pub(crate) fn set_mtu(&self, mtu: u16) -> Result<bool, Failure> {
        // SAFETY: DPDK checks `id` and `mtu`.
        offered("MTU", unsafe {
            dpdk_sys::rte_eth_dev_set_mtu(self.id, mtu)
        })
    }

    pub(crate) fn mac(&self) -> Result<[u8; 6], Failure> {
        let mut mac = dpdk_sys::rte_ether_addr::default();
        // SAFETY: `mac` is writable.
        let rc = unsafe { dpdk_sys::rte_eth_macaddr_get(self.id, &raw mut mac) };
        check("MAC address", rc).map(|_| mac.addr_bytes)
    }

    /// False if the driver cannot set it.
    pub(crate) fn set_mac(&self, mac: [u8; 6]) -> Result<bool, Failure> {
        let mut mac = dpdk_sys::rte_ether_addr { addr_bytes: mac };
        // SAFETY: `mac` lives over the call, and DPDK copies it.
        let rc = unsafe { dpdk_sys::rte_eth_dev_default_mac_addr_set(self.id, &raw mut mac) };
        offered("MAC address", rc)
    }

    /// Receives a further address, or no longer; false if the driver has only one.
    pub(crate) fn receive_mac(&self, mac: [u8; 6], on: bool) -> Result<bool, Failure> {
        let mut mac = dpdk_sys::rte_ether_addr { addr_bytes: mac };
        let rc = if on {
            // SAFETY: `mac` lives over the call, and DPDK copies it.
            unsafe { dpdk_sys::rte_eth_dev_mac_addr_add(self.id, &raw mut mac, 0) }
        } else {
            // SAFETY: `mac` lives over the call.
            unsafe { dpdk_sys::rte_eth_dev_mac_addr_remove(self.id, &raw mut mac) }
        };
        offered("further MAC address", rc)
    }

    /// Fills in the indirection table, whose entries are asked for by their masks.
    pub(crate) fn reta(
        &self,
        table: &mut [dpdk_sys::rte_eth_rss_reta_entry64],
        size: u16,
    ) -> Result<(), Failure> {
        if table.len() < usize::from(size).div_ceil(64) {
            let error = io::Error::from_raw_os_error(libc::EINVAL);
            return Err(Failure {
                what: "RSS indirection table",
                error,
            });
        }
        // SAFETY: `table` has an element for each 64 of `size` entries, which was just checked.
        let rc = unsafe { dpdk_sys::rte_eth_dev_rss_reta_query(self.id, table.as_mut_ptr(), size) };
        check("RSS indirection table", rc).map(drop)
    }

    /// The RSS key, of which `len` bytes are meant.
    pub(crate) fn rss_key(&self, len: usize) -> Result<Vec<u8>, Failure> {
        // Some drivers copy their whole key, whatever length they are told.
        let mut key = vec![0; usize::from(u8::MAX)];
        let mut conf = rss_conf(&mut key, 0);
        // SAFETY: `conf` is writable, and its key for as many bytes as a key can have.
        let rc = unsafe { dpdk_sys::rte_eth_dev_rss_hash_conf_get(self.id, &raw mut conf) };
        check("RSS key", rc)?;
        key.truncate(len);
        Ok(key)
    }

    /// Sets key and fields anew; false if the driver cannot.
    pub(crate) fn set_rss(&self, key: &mut [u8], fields: u64) -> Result<bool, Failure> {
        let mut conf = rss_conf(key, fields);
        // SAFETY: `conf` and its key live over the call; the key is as long as the device's keys.
        let rc = unsafe { dpdk_sys::rte_eth_dev_rss_hash_update(self.id, &raw mut conf) };
        offered("RSS key", rc)
    }

    pub(crate) fn link(&self) -> Result<(u32, bool, bool), Failure> {
        let mut link = dpdk_sys::rte_eth_link::default();
        // SAFETY: `link` is writable.
        let rc = unsafe { dpdk_sys::rte_eth_link_get_nowait(self.id, &raw mut link) };
        check("link state", rc)?;
        // SAFETY: `link` is readable.
        let up = unsafe { dpdk_sys::shim_link_is_up(&raw const link) } != 0;
        // SAFETY: `link` is readable.
        let full = unsafe { dpdk_sys::shim_link_is_full_duplex(&raw const link) } != 0;
        Ok((link.link_speed, up, full))
    }

    pub(crate) fn stats(&self) -> Result<dpdk_sys::rte_eth_stats, Failure> {
        let mut stats = dpdk_sys::rte_eth_stats::default();
        // SAFETY: `stats` is writable.
        let rc = unsafe { dpdk_sys::rte_eth_stats_get(self.id, &raw mut stats) };
        check("statistics", rc).map(|_| stats)
    }

    /// Fills `names`; returns how many there are, which may be more.
    pub(crate) fn xstat_names(
        &self,
        names: &mut [dpdk_sys::rte_eth_xstat_name],
    ) -> Result<usize, Failure> {
        let len = u32::try_from(names.len()).unwrap_or(u32::MAX);
        // SAFETY: `names` is writable for `len` elements.
        let rc = unsafe { dpdk_sys::rte_eth_xstats_get_names(self.id, names.as_mut_ptr(), len) };
        check("names of extended statistics", rc).map(|n| n.unsigned_abs() as usize)
    }

    /// Fills `values`; returns how many there are, which may be more.
    pub(crate) fn xstats(&self, values: &mut [dpdk_sys::rte_eth_xstat]) -> Result<usize, Failure> {
        let len = u32::try_from(values.len()).unwrap_or(u32::MAX);
        // SAFETY: `values` is writable for `len` elements.
        let rc = unsafe { dpdk_sys::rte_eth_xstats_get(self.id, values.as_mut_ptr(), len) };
        check("extended statistics", rc).map(|n| n.unsigned_abs() as usize)
    }
}

/// Later releases than the oldest have a further field, which stays at its default.
#[allow(clippy::needless_update)]
fn rss_conf(key: &mut [u8], fields: u64) -> dpdk_sys::rte_eth_rss_conf {
    dpdk_sys::rte_eth_rss_conf {
        rss_key: key.as_mut_ptr(),
        rss_key_len: u8::try_from(key.len()).unwrap_or(u8::MAX),
        rss_hf: fields,
        ..Default::default()
    }
}

impl Drop for Ethdev {
    fn drop(&mut self) {
        if self.promiscuous.load(Relaxed) {
            if let Err(failure) = self.set_promiscuous(false) {
                tracing::debug!("{}: {}", failure.what, failure.error);
            }
        }
        if self.started {
            // SAFETY: whoever polled the device held it, and so is gone.
            let rc = unsafe { dpdk_sys::rte_eth_dev_stop(self.id) };
            if let Err(failure) = check("stop", rc) {
                tracing::debug!("{}: {}", failure.what, failure.error);
            }
        }
        let rc = if self.configured {
            // SAFETY: the device is ours and stopped; it is not used after this.
            unsafe { dpdk_sys::rte_eth_dev_close(self.id) }
        } else {
            // SAFETY: DPDK checks both numbers.
            unsafe { dpdk_sys::rte_eth_dev_owner_unset(self.id, self.owner) }
        };
        if let Err(failure) = check("close", rc) {
            tracing::debug!("{}: {}", failure.what, failure.error);
        }
    }
}
