//! A frame that a driver delivers in several buffers is dropped, counted, and its buffers freed.
//!
//! net_pcap does so with frames that exceed a buffer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{eal, frame, receive};
use pvs_dpdk::{Device, DeviceConfig, HugepageUse, Mempool};
use std::fs;

#[test]
fn only_whole_frames_come_in() {
    let frames = [60, 5000, 1500, 4000, 61].map(|len| frame(len, len));
    let path = std::env::temp_dir().join(format!("pvs-chained-{}.pcap", std::process::id()));
    fs::write(&path, pcap(&frames)).unwrap();
    let eal = eal(
        &[&format!("net_pcap0,rx_pcap={}", path.display())],
        HugepageUse::Prefer,
    );
    fs::remove_file(path).unwrap();

    let pool = Mempool::new(&eal, "pcap", 511, 0, 2048, None).unwrap();
    let config = DeviceConfig::default();
    let (device, mut ports) = Device::open(&eal, "net_pcap0", &config, &pool).unwrap();
    let seen = receive(&mut ports, 3, |_| true);
    assert_eq!(seen, [&frames[0][..], &frames[2], &frames[4]]);
    assert_eq!(device.stats().unwrap().rx_chained, 2);
    assert_eq!(pool.available(), 511);
}

/// A capture file (libpcap's classic format, Ethernet).
fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
    let header = [0xa1b2_c3d4_u32, 2 | 4 << 16, 0, 0, 65_535, 1];
    let mut file: Vec<u8> = header.iter().flat_map(|word| word.to_ne_bytes()).collect();
    for frame in frames {
        let len = frame.len() as u32;
        file.extend([0, 0, len, len].iter().flat_map(|word| word.to_ne_bytes()));
        file.extend(frame);
    }
    file
}
