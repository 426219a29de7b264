//! What the tests share. Each test is a program of its own, since DPDK starts once in a process.

#![allow(
    dead_code,
    reason = "each test file is a process of its own and uses a part"
)]

use pvs_dataplane::port::{BURST, Batch, Buf, Pool, Port};
use pvs_dpdk::{DpdkPort, Eal, EalConfig, HugepageUse, Mbuf};
use std::time::{Duration, Instant};

/// DPDK with these virtual devices, in whichever memory there is.
pub fn eal(vdevs: &[&str], hugepages: HugepageUse) -> Eal {
    Eal::init(&config(vdevs, hugepages)).unwrap()
}

pub fn config(vdevs: &[&str], hugepages: HugepageUse) -> EalConfig {
    let vdevs = vdevs.iter().map(ToString::to_string).collect();
    EalConfig {
        vdevs,
        hugepages,
        memory_mib: 64,
        ..EalConfig::default()
    }
}

/// A frame of `len` bytes that differs with `seed` in every byte.
pub fn frame(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (seed * 31 + at * 7) as u8).collect()
}

pub fn filled(pool: &impl Pool<Buf = Mbuf>, frame: &[u8]) -> Mbuf {
    let mut mbuf = pool.alloc().expect("the pool is not empty");
    assert!(mbuf.fill(frame));
    mbuf
}

pub fn send(port: &mut DpdkPort, frames: &[Vec<u8>]) {
    for chunk in frames.chunks(BURST) {
        let mut batch: Batch<Mbuf> = chunk.iter().map(|f| filled(&port.pool(), f)).collect();
        assert_eq!(port.tx(&mut batch), 0, "the device takes them all");
        assert!(batch.is_empty());
    }
}

/// Receives on all `ports` until `enough` of the frames seen are `wanted`, or a while has passed.
pub fn receive(
    ports: &mut [DpdkPort],
    enough: usize,
    wanted: impl Fn(&[u8]) -> bool,
) -> Vec<Vec<u8>> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut seen = Vec::new();
    while seen.len() < enough && Instant::now() < deadline {
        for port in ports.iter_mut() {
            let mut batch: Batch<Mbuf> = Batch::new();
            port.rx(&mut batch);
            seen.extend(
                batch
                    .iter()
                    .map(|m| m.bytes().to_vec())
                    .filter(|bytes| wanted(bytes)),
            );
        }
    }
    seen
}
