//! Starting DPDK's environment: memory, devices, log, and the traces that it leaves.
//!
//! Once for each process, and never ended: frames, pools and ports may outlive the [`Eal`] value,
//! which on drop only removes what would stay behind on the machine. DPDK's own lcore threads are
//! not used; it gets one lcore, for the thread that starts it.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, NulError, c_char, c_int};
use std::io;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use thiserror::Error;

use crate::affinity::Affinity;
use crate::hugepages::{self, Reservation, Reserved};
use crate::{devargs, ethdev, log, rundir};

static STARTED: AtomicBool = AtomicBool::new(false);

/// What DPDK is started with.
#[derive(Clone, Debug)]
pub struct EalConfig {
    /// Virtual devices, as DPDK's `--vdev` takes them: `net_af_packet0,iface=eth1`.
    pub vdevs: Vec<String>,
    /// PCI devices, as DPDK's `-a` takes them: `0000:3b:00.0`. None: the PCI bus is not scanned.
    pub pci: Vec<String>,
    /// CPUs for DPDK's own threads (interrupts, links). Empty: those of the calling thread.
    pub cpus: Vec<usize>,
    /// Memory taken at start, in MiB. With hugepages pools may take more, without not.
    pub memory_mib: u32,
    /// Whether that memory is hugepages.
    pub hugepages: HugepageUse,
}

impl Default for EalConfig {
    fn default() -> Self {
        Self {
            vdevs: Vec::new(),
            pci: Vec::new(),
            cpus: Vec::new(),
            memory_mib: 256,
            hugepages: HugepageUse::Prefer,
        }
    }
}

/// Whether DPDK's memory is hugepages. They are added to the kernel's while pvs runs, where free
/// ones are missing and it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HugepageUse {
    /// Where they can be had; else ordinary memory, with a warning.
    Prefer,
    /// Else an error.
    Require,
    /// Ordinary memory.
    Never,
}

/// Why DPDK did not start as asked.
#[derive(Debug, Error)]
pub enum EalError {
    /// It was started before in this process, with or without success.
    #[error("DPDK can be started only once in a process")]
    StartedBefore,
    /// A configured text cannot be passed on.
    #[error("a device description contains a NUL byte")]
    Text(#[from] NulError),
    /// The system refused something around the start.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The system's reason.
        error: io::Error,
    },
    /// Hugepages were required.
    #[error("{0}")]
    Hugepages(String),
    /// Hugepages were preferred and free, and others took them before DPDK did. Another
    /// process can start it without.
    #[error("hugepages were free and then taken by others: {0}")]
    HugepagesTaken(String),
    /// rte_eal_init failed.
    #[error("DPDK does not start: {0}")]
    Init(String),
    /// A configured device did not come up.
    #[error("device {name}: {reason}")]
    Device {
        /// The device, as asked for.
        name: String,
        /// What it lacks.
        reason: String,
    },
}

/// DPDK, running. Keep it until the end of the process.
#[derive(Debug)]
pub struct Eal {
    devices: Vec<String>,
    hugepages: bool,
    runtime: PathBuf,
    reservation: Mutex<Option<Reservation>>,
}

impl Eal {
    /// Starts DPDK. The calling thread keeps its CPU affinity, and is lcore 0.
    ///
    /// # Errors
    /// See [`EalError`]. After an error this process cannot start DPDK again.
    pub fn init(config: &EalConfig) -> Result<Self, EalError> {
        if STARTED.swap(true, Ordering::AcqRel) {
            return Err(EalError::StartedBefore);
        }
        log::install().map_err(|error| EalError::System {
            what: "DPDK's log",
            error,
        })?;
        let affinity = Affinity::current().map_err(|error| EalError::System {
            what: "CPU affinity",
            error,
        })?;
        let memory = memory(config)?;
        let arguments = arguments(config, memory.is_some(), &affinity.cpus())?;
        // DPDK's own threads get the caller's CPUs less those of lcores, or lcore 0's if none is
        // left: with the caller on lcore 0's CPUs these are what is left, and no other.
        let own = match config.cpus.as_slice() {
            [] => Ok(()),
            cpus => Affinity::of(cpus).apply(),
        };
        own.map_err(|error| EalError::System {
            what: "CPU affinity",
            error,
        })?;
        let started = start(arguments);
        let restored = affinity.apply();
        let reservation = memory.map(Reserved::taken);
        let runtime = runtime_directory();
        let eal = Self {
            devices: config
                .vdevs
                .iter()
                .chain(&config.pci)
                .map(|d| devargs::listed_name(d))
                .collect(),
            hugepages: reservation.is_some(),
            runtime,
            reservation: Mutex::new(reservation),
        };
        if let Some(parent) = eal.runtime.parent() {
            rundir::remove_stale(parent);
        }
        let recorded = log::take_recorded();
        let huge = eal.hugepages && config.hugepages == HugepageUse::Prefer;
        started.map_err(|errno| match init_failure(errno, config, &recorded) {
            // Of what DPDK says, little else can be wrong: the pages were there, under the lock.
            EalError::Init(reason) if huge => EalError::HugepagesTaken(reason),
            error => error,
        })?;
        restored.map_err(|error| EalError::System {
            what: "CPU affinity",
            error,
        })?;
        check_devices(config, &recorded)?;
        Ok(eal)
    }

    /// The names under which [`Device::open`](crate::Device::open) finds the devices asked for.
    #[must_use]
    pub fn devices(&self) -> &[String] {
        &self.devices
    }

    /// True if memory is hugepages.
    #[must_use]
    pub fn has_hugepages(&self) -> bool {
        self.hugepages
    }

    /// Gives back the hugepages that were added for DPDK: those in use go when the process does. For
    /// an end in which this value is not dropped.
    pub fn give_back_hugepages(&self) {
        let mut reservation = self.reservation.lock();
        let reservation = reservation.as_mut().map(|held| held.take());
        drop(reservation.ok().flatten());
    }

    /// DPDK's release, such as `DPDK 22.11.1`.
    #[must_use]
    pub fn version(&self) -> String {
        // SAFETY: no precondition.
        let version = unsafe { dpdk_sys::rte_version() };
        text(version)
    }
}

impl Drop for Eal {
    fn drop(&mut self) {
        rundir::remove(&self.runtime);
    }
}

/// The last error of the calling thread's DPDK calls.
pub(crate) fn errno() -> c_int {
    // SAFETY: reads a thread-local variable of librte_eal.
    unsafe { dpdk_sys::shim_errno() }
}

/// Hugepages to be used, and held until DPDK has them; `None`: ordinary memory.
fn memory(config: &EalConfig) -> Result<Option<Reserved>, EalError> {
    if config.hugepages == HugepageUse::Never {
        return Ok(None);
    }
    match hugepages::reserve(config.memory_mib) {
        Ok(reserved) => Ok(Some(reserved)),
        Err(shortage) if config.hugepages == HugepageUse::Require => {
            Err(EalError::Hugepages(shortage.to_string()))
        }
        Err(shortage) => {
            tracing::warn!("{shortage}; using 4 KiB pages, which halves the packet rate or worse");
            Ok(None)
        }
    }
}

fn arguments(config: &EalConfig, huge: bool, own_cpus: &[usize]) -> Result<Vec<CString>, NulError> {
    let cpus = if config.cpus.is_empty() {
        own_cpus
    } else {
        &config.cpus
    };
    let cpus = cpus
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(",");
    let memory = config.memory_mib.to_string();
    let mut words: Vec<&str> = vec!["pvs", "--no-telemetry", "--file-prefix"];
    let prefix = rundir::own_prefix();
    let lcores = format!("0@({cpus})");
    words.extend([
        prefix.as_str(),
        "--lcores",
        lcores.as_str(),
        "-m",
        memory.as_str(),
    ]);
    words.extend(if huge {
        &["--in-memory"][..]
    } else {
        &["--no-huge", "--no-shconf"]
    });
    if config.pci.is_empty() {
        words.push("--no-pci");
    }
    words.extend(config.pci.iter().flat_map(|device| ["-a", device.as_str()]));
    words.extend(
        config
            .vdevs
            .iter()
            .flat_map(|device| ["--vdev", device.as_str()]),
    );
    words.into_iter().map(CString::new).collect()
}

/// Calls rte_eal_init; the error is DPDK's errno.
fn start(arguments: Vec<CString>) -> Result<(), c_int> {
    // DPDK keeps pointers into its arguments: they live as long as the process.
    let mut pointers: Vec<*mut c_char> = arguments.into_iter().map(CString::into_raw).collect();
    let count = c_int::try_from(pointers.len()).unwrap_or(c_int::MAX);
    pointers.push(ptr::null_mut());
    let pointers = pointers.leak();
    // SAFETY: `count` C strings and a null pointer, which live and stay writable for ever; STARTED
    // makes this the only call in the process.
    let rc = unsafe { dpdk_sys::rte_eal_init(count, pointers.as_mut_ptr()) };
    if rc < 0 { Err(errno()) } else { Ok(()) }
}

/// Why rte_eal_init failed: for a device whose name it cannot read, else for its first complaint.
fn init_failure(errno: c_int, config: &EalConfig, recorded: &[String]) -> EalError {
    for devargs in config.vdevs.iter().chain(&config.pci) {
        let name = devargs::name(devargs);
        if let Some(line) = recorded.iter().find(|line| line.contains(name)) {
            let reason = format!("DPDK says: {line} (is its driver installed?)");
            return EalError::Device {
                name: name.to_owned(),
                reason,
            };
        }
    }
    let from_errno = || io::Error::from_raw_os_error(errno).to_string();
    EalError::Init(recorded.first().cloned().unwrap_or_else(from_errno))
}

fn check_devices(config: &EalConfig, recorded: &[String]) -> Result<(), EalError> {
    let vdevs = config.vdevs.iter().map(|devargs| (devargs, false));
    let pci = config.pci.iter().map(|devargs| (devargs, true));
    for (devargs, is_pci) in vdevs.chain(pci) {
        if ethdev::find(&devargs::listed_name(devargs)).is_none() {
            let name = devargs::name(devargs).to_owned();
            let reason = devargs::missing(devargs, is_pci, recorded);
            return Err(EalError::Device { name, reason });
        }
    }
    Ok(())
}

fn runtime_directory() -> PathBuf {
    // SAFETY: no precondition; it returns a static array, empty before a start.
    let directory = unsafe { dpdk_sys::rte_eal_get_runtime_dir() };
    Path::new(&text(directory)).to_owned()
}

/// A C string of DPDK's, copied.
pub(crate) fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: DPDK's text functions return C strings that stay valid; null was excluded.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_string_lossy().into_owned()
}
