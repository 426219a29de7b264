//! A device whose driver is not installed: DPDK's own words are passed on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::config;
use pvs_dpdk::{Eal, HugepageUse};

#[test]
fn the_error_names_the_device_and_quotes_dpdk() {
    let error = Eal::init(&config(&["net_nosuchdriver0"], HugepageUse::Never)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "device net_nosuchdriver0: DPDK says: \
         EAL: failed to parse device \"net_nosuchdriver0\" (is its driver installed?)"
    );
}
