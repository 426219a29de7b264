//! DPDK's log lines reach `tracing`, and memory other than hugepages is warned of once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::eal;
use pvs_dpdk::HugepageUse;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[test]
fn dpdk_speaks_through_tracing() {
    let lines = Lines::default();
    tracing_subscriber::fmt()
        .with_writer(lines.clone())
        .with_ansi(false)
        .without_time()
        .with_max_level(tracing::level_filters::LevelFilter::DEBUG)
        .init();
    let eal = eal(&["net_null0"], HugepageUse::Prefer);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let detected = |line: &str| line.contains("DEBUG dpdk: EAL: Detected CPU lcores: ");
    assert!(text.lines().any(detected), "{text}");
    let warned = text
        .lines()
        .filter(|line| line.contains("halves the packet rate"))
        .count();
    assert_eq!(warned, usize::from(!eal.has_hugepages()), "{text}");
    assert!(
        text.lines().all(|line| !line.trim_end().ends_with("dpdk:")),
        "no empty line: {text}"
    );
}
