//! A device that does not come up, which DPDK itself does not count as a failure.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::config;
use pvs_dpdk::{Eal, EalError, HugepageUse};

#[test]
fn the_error_names_the_device_and_what_it_lacks() {
    let config = config(
        &["net_null0", "net_af_packet0,iface=pvs-none0"],
        HugepageUse::Prefer,
    );
    let error = Eal::init(&config).unwrap_err();
    assert!(matches!(&error, EalError::Device { name, .. } if name == "net_af_packet0"));
    assert_eq!(
        error.to_string(),
        "device net_af_packet0: there is no interface pvs-none0 in this network namespace"
    );
    assert!(matches!(Eal::init(&config), Err(EalError::StartedBefore)));
}
