//! The ports: DPDK's devices, the drop on a kernel netdev behind one, and the mirror taps.

use crate::config::{Config, Hugepages, PortConfig, name_of};
use crate::steering;
use anyhow::{Context, Result, ensure};
use pvs_dataplane::fib::PortIndex;
use pvs_dataplane::steering::Steering;
use pvs_dpdk::{Device, DeviceConfig, DpdkPort, Eal, EalConfig, HugepageUse, Mempool};
use pvs_linux::{
    IngressDrop, MirrorTap, Namespace, TapBinding, TapConfig, refuse_shared_namespace,
};
use std::sync::{Arc, Mutex, PoisonError};

/// Largest frame of a port with an MTU of 1500: Ethernet header, VLAN tag.
const FRAME_OVERHEAD: u16 = 18;

/// Smallest data room of a buffer: what drivers expect.
const FRAME_MAX: u16 = 2048;

/// Free buffers that each worker keeps to itself.
const POOL_CACHE: u32 = 256;

/// An open port.
pub struct OpenPort {
    /// Its mirror; another one after the first was deleted.
    tap: Mutex<Arc<MirrorTap>>,
    /// The device, as control sees it.
    pub device: Device,
    /// Removed when the port is closed.
    ingress: Mutex<Option<IngressDrop>>,
}

/// All ports, with what has to live as long.
pub struct Ports {
    /// In the order of their indices.
    pub open: Vec<OpenPort>,
    /// The mirrors' namespace, for the one who looks after them.
    pub namespace: Option<Namespace>,
    /// The queue pairs of each, in the order of the workers.
    pub queues: Vec<Vec<DpdkPort>>,
    /// How packets find their worker.
    pub steering: Steering,
    /// Where buffers come from.
    pub pool: Mempool,
    /// DPDK: the last to go.
    pub eal: Eal,
}

/// Starts DPDK and opens every port.
///
/// # Errors
/// One line that says what is missing.
pub fn open(config: &Config, cpus: &[usize]) -> Result<Ports> {
    let namespace = common_namespace(config)?;
    let netdevs: Vec<_> = config.port.iter().filter_map(PortConfig::netdev).collect();
    if !netdevs.is_empty() {
        for ifname in IngressDrop::sweep(&netdevs)? {
            tracing::info!("removed what a killed pvsd left on {ifname}");
        }
    }
    let guard = |port: &PortConfig| guard(port, &namespace);
    let drops: Vec<_> = config.port.iter().map(guard).collect::<Result<_>>()?;
    let eal = start_dpdk(config, cpus)?;
    let mtu = config
        .port
        .iter()
        .filter_map(|p| p.mtu)
        .max()
        .unwrap_or(1500);
    let frame_max = mtu.saturating_add(FRAME_OVERHEAD).max(FRAME_MAX);
    let pool = Mempool::new(&eal, "pvs", config.buffers(), POOL_CACHE, frame_max, None)?;
    let (mut open, mut queues) = (Vec::new(), Vec::new());
    let key = steering::random_key();
    for (port, ingress) in config.port.iter().zip(drops) {
        let name = name_of(&port.device);
        let info = Device::describe(&eal, name)?;
        let count = steering::queues(port, &info, config.workers.count)?;
        let settings = DeviceConfig {
            mtu: port.mtu,
            queues: count,
            rss: (count > 1).then(|| steering::rss(port, config.workers.steering, &key)),
            // Switched on where the mirror, or what is on it, needs it.
            promiscuous: false,
            ..DeviceConfig::default()
        };
        let (device, pairs) = Device::open(&eal, name, &settings, &pool)?;
        let tap = mirror(port, &namespace, &device)?;
        tracing::info!(
            "port {} is {} ({}), mirrored by {} in namespace {}",
            open.len(),
            device.name(),
            device.caps().mac,
            port.mirror,
            namespace.name()
        );
        queues.push(DpdkPort::shared(pairs, config.workers.count.into()));
        open.push(OpenPort {
            tap: Mutex::new(tap),
            device,
            ingress: Mutex::new(ingress),
        });
    }
    let devices: Vec<_> = open.iter().map(|port: &OpenPort| &port.device).collect();
    let workers = &config.workers;
    let steering = steering::choose(workers.steering, workers.count, &devices)?;
    Ok(Ports {
        open,
        namespace: Some(namespace),
        queues,
        steering,
        pool,
        eal,
    })
}

/// The one namespace of all mirrors: forwarding information comes from one.
fn common_namespace(config: &Config) -> Result<Namespace> {
    let mut all = config
        .port
        .iter()
        .map(namespace)
        .collect::<Result<Vec<_>>>()?
        .into_iter();
    let first = all.next().context("no port is configured")?;
    ensure!(
        all.all(|other| other.is_same(&first)),
        "the mirrors are in several namespaces: put all of them into one"
    );
    Ok(first)
}

fn namespace(port: &PortConfig) -> Result<Namespace> {
    Ok(match &port.namespace {
        Some(name) => Namespace::open(name)?,
        None => Namespace::current()?,
    })
}

/// Keeps the host's stack and other processes of pvs off a netdev that serves as a port. An XDP
/// program takes the frames before the host sees them, but not while there is none; and DPDK does
/// not ask whose one is that it replaces.
fn guard(port: &PortConfig, mirror: &Namespace) -> Result<Option<IngressDrop>> {
    let Some(ifname) = port.netdev() else {
        return Ok(None);
    };
    refuse_shared_namespace(ifname, mirror)?;
    Ok(Some(IngressDrop::install(ifname)?))
}

fn start_dpdk(config: &Config, cpus: &[usize]) -> Result<Eal> {
    let devices = config.port.iter().map(|p| p.device.clone());
    let (vdevs, pci) = devices.partition(|device| device.starts_with("net_"));
    let hugepages = match config.memory.hugepages {
        Hugepages::Auto => HugepageUse::Prefer,
        Hugepages::Require => HugepageUse::Require,
        Hugepages::Off => HugepageUse::Never,
    };
    let memory_mib = config.megabytes();
    let eal = Eal::init(&EalConfig {
        vdevs,
        pci,
        cpus: cpus.to_vec(),
        memory_mib,
        hugepages,
    })?;
    tracing::info!(
        "{}, {}",
        eal.version(),
        if eal.has_hugepages() {
            "huge pages"
        } else {
            "ordinary pages"
        }
    );
    Ok(eal)
}

fn mirror(port: &PortConfig, namespace: &Namespace, device: &Device) -> Result<Arc<MirrorTap>> {
    let config = tap_config(port.mirror.clone(), device);
    Ok(Arc::new(MirrorTap::open(namespace, &config)?))
}

fn tap_config(name: String, device: &Device) -> TapConfig {
    TapConfig {
        name,
        mac: device.caps().mac,
        mtu: device.caps().mtu,
    }
}

impl OpenPort {
    /// Its mirror.
    #[must_use]
    pub fn tap(&self) -> Arc<MirrorTap> {
        Arc::clone(&self.tap.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Its new mirror.
    pub fn set_tap(&self, tap: Arc<MirrorTap>) {
        *self.tap.lock().unwrap_or_else(PoisonError::into_inner) = tap;
    }

    /// What its mirror is when it is made.
    #[must_use]
    pub fn tap_config(&self) -> TapConfig {
        tap_config(self.tap().name().to_owned(), &self.device)
    }
}

impl Ports {
    /// Gives back what would outlive the process, with the ports still open: for an end in which
    /// they can't be closed.
    pub fn let_go(&self) {
        for port in &self.open {
            drop(port.ingress.lock().map(|mut ingress| ingress.take()));
        }
        self.eal.give_back_hugepages();
    }

    /// The taps as the watcher wants them.
    #[must_use]
    pub fn bindings(&self) -> Vec<TapBinding> {
        let ports = self.open.iter().zip(0u16..);
        ports
            .map(|(open, at)| binding(PortIndex(at), &open.tap()))
            .collect()
    }
}

/// A tap as the watcher wants it.
#[must_use]
pub fn binding(port: PortIndex, tap: &MirrorTap) -> TapBinding {
    TapBinding {
        ifname: tap.name().to_owned(),
        ifindex: tap.ifindex(),
        port,
    }
}

/// Deletes the mirror taps of the configuration.
///
/// # Errors
/// A namespace is not there, or the kernel refuses.
pub fn remove_taps(config: &Config) -> Result<()> {
    for port in &config.port {
        let namespace = namespace(port)?;
        let removed = MirrorTap::remove(&namespace, &port.mirror)
            .with_context(|| format!("mirror {}", port.mirror))?;
        let what = if removed { "removed" } else { "is not there" };
        println!(
            "pvsd: {} in namespace {}: {what}",
            port.mirror,
            namespace.name()
        );
    }
    Ok(())
}
