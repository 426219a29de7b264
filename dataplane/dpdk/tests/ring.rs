//! Frames through a net_ring device, whose transmit queue is its receive queue; and what a start of
//! DPDK leaves alone: the thread's CPUs, the machine's hugepages, /var/run/dpdk.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{eal, frame, receive, send};
use pvs_dataplane::port::{BURST, Batch, Buf, Pool, Port};
use pvs_dpdk::{
    Device, DeviceConfig, DpdkPort, Eal, EalConfig, EalError, HugepageUse, Mbuf, Mempool,
};
use std::fs;
use std::path::Path;
use std::thread;

const POOL: u32 = 4095;

#[test]
fn frames_go_round_whole_and_nothing_stays_behind() {
    let cpus = allowed_cpus();
    let eal = eal(&["net_ring0"], HugepageUse::Prefer);
    assert_eq!(allowed_cpus(), cpus, "threads started later inherit this");
    assert_eq!(runtime_directories(), 1);
    assert!(eal.version().starts_with("DPDK "));
    assert!(matches!(
        Eal::init(&EalConfig::default()),
        Err(EalError::StartedBefore)
    ));

    let pool = Mempool::new(&eal, "ring", POOL, 64, 2048, None).unwrap();
    let config = DeviceConfig {
        rx_descriptors: 256,
        tx_descriptors: 256,
        ..DeviceConfig::default()
    };
    let (device, mut ports) = Device::open(&eal, "net_ring0", &config, &pool).unwrap();
    assert_eq!(ports.len(), 1);
    assert_eq!(device.info().driver, "net_ring");

    whole_and_in_order(&mut ports, &pool);
    a_full_batch_takes_nothing(&mut ports[0]);
    refused_frames_are_counted_and_freed(&mut ports[0], &pool);
    let frames_seen = device.stats().unwrap();
    assert!(frames_seen.tx_frames >= frames_seen.rx_frames && frames_seen.rx_frames > 0);
    ports = on_another_thread(ports);
    assert_eq!(pool.available(), POOL);

    let kept = pool.alloc().unwrap();
    drop((device, ports));
    drop(eal);
    assert_eq!(kept.bytes(), b"", "a frame may outlive all the rest");
    drop(kept);
    assert_eq!(runtime_directories(), 0);
}

fn whole_and_in_order(ports: &mut [DpdkPort], pool: &Mempool) {
    let frames: Vec<_> = (0..100).map(|n| frame(n, 14 + n * 20)).collect();
    send(&mut ports[0], &frames);
    assert_eq!(pool.available(), POOL - 100);
    assert_eq!(receive(ports, 100, |_| true), frames);
    assert_eq!(pool.available(), POOL);
}

fn a_full_batch_takes_nothing(port: &mut DpdkPort) {
    let frames: Vec<_> = (0..BURST + 2).map(|n| frame(n, 60)).collect();
    send(port, &frames);
    let mut batch: Batch<Mbuf> = Batch::new();
    batch.push(port.alloc().unwrap());
    port.rx(&mut batch);
    assert_eq!(batch.len(), BURST, "31 beside the one that was there");
    port.rx(&mut batch);
    assert_eq!(batch.len(), BURST);
    assert_eq!(batch[1].bytes(), frames[0]);
    batch.clear();
    port.rx(&mut batch);
    assert_eq!(batch.len(), 3);
    assert_eq!(batch[2].bytes(), frames[BURST + 1]);
}

fn refused_frames_are_counted_and_freed(port: &mut DpdkPort, pool: &Mempool) {
    let before = pool.available();
    let (mut held, mut refused) = (0, 0);
    while refused == 0 {
        let mut batch: Batch<Mbuf> = (0..BURST).map(|_| pool.alloc().unwrap()).collect();
        refused = port.tx(&mut batch);
        assert!(batch.is_empty());
        held += BURST as u32 - refused;
    }
    assert!(held > 0);
    assert_eq!(
        pool.available(),
        before - held,
        "the ring holds them, the rest went back"
    );
    let mut batch: Batch<Mbuf> = Batch::new();
    while held > 0 {
        port.rx(&mut batch);
        held -= batch.len() as u32;
        batch.clear();
    }
    assert_eq!(pool.available(), before);
}

fn on_another_thread(mut ports: Vec<DpdkPort>) -> Vec<DpdkPort> {
    thread::spawn(move || {
        let worker = pvs_dpdk::WorkerThread::register().unwrap();
        let frames = [frame(1, 64), frame(2, 1500)];
        send(&mut ports[0], &frames);
        assert_eq!(receive(&mut ports, 2, |_| true), frames);
        drop(worker);
        ports
    })
    .join()
    .unwrap()
}

fn allowed_cpus() -> String {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    status
        .lines()
        .find(|line| line.starts_with("Cpus_allowed_list"))
        .unwrap()
        .to_owned()
}

/// The directories that DPDK has made for this process, wherever it puts them.
fn runtime_directories() -> usize {
    let named = ["RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"].map(|name| std::env::var(name).ok());
    let usual = ["/var/run", "/tmp"].map(|path| Some(path.to_owned()));
    let own = format!("dpdk/pvs-{}", std::process::id());
    let all = named.into_iter().chain(usual).flatten();
    all.filter(|base| Path::new(base).join(&own).exists())
        .count()
}
