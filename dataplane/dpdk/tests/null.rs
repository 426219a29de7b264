//! Control of a device, on net_null, which receives frames without end and has RSS to configure.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{eal, frame, receive, send};
use pvs_dataplane::port::Port;
use pvs_dpdk::{Device, DeviceConfig, DeviceError, Eal, HugepageUse, Mempool};
use pvs_dpdk::{RssConfig, RssFields, RssState};
use pvs_proto::MacAddr;

#[test]
fn a_device_is_opened_asked_and_told() {
    let eal = eal(
        &["net_null0,size=100", "net_null1,no-rx=1"],
        HugepageUse::Prefer,
    );
    assert_eq!(eal.devices(), ["net_null0", "net_null1"]);
    let pool = Mempool::new(&eal, "null", 8191, 128, 2048, None).unwrap();
    what_cannot_be_is_refused(&eal, &pool);

    let key: Vec<u8> = (1..=52).collect();
    let rss = Some(RssConfig {
        fields: RssFields::Flow,
        key: Some(key.clone()),
    });
    let config = DeviceConfig {
        queues: 2,
        rss,
        ..DeviceConfig::default()
    };
    let (device, mut ports) = Device::open(&eal, "net_null0", &config, &pool).unwrap();
    let error = Device::open(&eal, "net_null0", &config, &pool).unwrap_err();
    assert_eq!(error.to_string(), "device net_null0: in use");

    assert_eq!(device.rss(), RssState::On(RssFields::Flow));
    assert_eq!(device.rss_key().unwrap(), key[..device.info().rss_key_len]);
    let table = device.rss_table().unwrap();
    assert!(!table.is_empty() && table.iter().all(|&queue| queue < 2));

    let caps = ports[0].caps().clone();
    assert_eq!((caps.queues, caps.mtu), (2, 1500));
    assert_eq!(caps.mac, device.mac().unwrap());
    assert!(!caps.tx_ip_checksum && !caps.tx_l4_checksum);
    assert_eq!(
        receive(&mut ports, 64, |bytes| bytes.len() == 100).len(),
        64
    );
    send(&mut ports[1], &[frame(1, 60), frame(2, 60)]);
    numbers_add_up(&device);
    switches(&device);
    without_rss(&eal, &pool);
    drop((device, ports));
    assert_eq!(pool.available(), 8191);
}

fn what_cannot_be_is_refused(eal: &Eal, pool: &Mempool) {
    let open = |name: &str, config: DeviceConfig| {
        Device::open(eal, name, &config, pool)
            .map(drop)
            .unwrap_err()
    };
    let config = DeviceConfig::default;
    assert_eq!(
        open("net_null7", config()).to_string(),
        "device net_null7: not among those that DPDK has (net_null0, net_null1)"
    );
    let info = Device::describe(eal, "net_null0").unwrap();
    assert_eq!((info.driver.as_str(), info.min_queues), ("net_null", 1));
    let queues = info.max_queues + 1;
    let error = open("net_null0", DeviceConfig { queues, ..config() });
    assert!(matches!(error, DeviceError::Queues { asked, .. } if asked == queues));
    let error = open(
        "net_null0",
        DeviceConfig {
            queues: 0,
            ..config()
        },
    );
    assert!(matches!(
        error,
        DeviceError::Queues {
            asked: 0,
            min: 1,
            ..
        }
    ));
    let error = open(
        "net_null0",
        DeviceConfig {
            mtu: Some(2031),
            ..config()
        },
    );
    assert!(
        matches!(
            error,
            DeviceError::Mtu {
                asked: 2031,
                max: 2030,
                ..
            }
        ),
        "frames fit the pool"
    );
    let rss = Some(RssConfig {
        fields: RssFields::Flow,
        key: Some(vec![1; 3]),
    });
    let error = open("net_null0", DeviceConfig { rss, ..config() });
    assert!(matches!(error, DeviceError::RssKey { given: 3, .. }));
}

fn numbers_add_up(device: &Device) {
    let stats = device.stats().unwrap();
    assert!(stats.rx_frames >= 64);
    assert_eq!(stats.tx_frames, 2);
    assert_eq!((stats.tx_errors, stats.rx_chained), (0, 0));
    let xstats = device.xstats().unwrap();
    let named = |name: &str| xstats.iter().find(|x| x.name == name).map(|x| x.value);
    assert_eq!(named("tx_good_packets"), Some(2));
    assert_eq!(named("rx_good_packets"), Some(stats.rx_frames));
}

/// A driver that has no such switch answers false; only a failure is an error.
fn switches(device: &Device) {
    assert!(device.link().unwrap().up);
    device.set_promiscuous(false).unwrap();
    device.set_allmulticast(false).unwrap();
    device.set_link(true).unwrap();
    assert!(device.set_mtu(1400).unwrap());
    assert_eq!(device.mtu().unwrap(), 1400);
    assert!(matches!(device.set_mtu(9000), Err(DeviceError::Mtu { .. })));
    let mac = MacAddr([2, 0, 0, 0, 0, 7]);
    assert!(device.set_mac(mac).unwrap());
    assert_eq!(device.mac().unwrap(), mac);
    device.receive_mac(MacAddr([2, 0, 0, 0, 0, 8]), true).ok();
}

fn without_rss(eal: &Eal, pool: &Mempool) {
    let rss = Some(RssConfig {
        fields: RssFields::Source,
        key: None,
    });
    let config = DeviceConfig {
        queues: 2,
        rss,
        ..DeviceConfig::default()
    };
    let (device, mut ports) = Device::open(eal, "net_null1", &config, pool).unwrap();
    assert_eq!(device.rss(), RssState::Unsupported);
    let mut batch = pvs_dataplane::port::Batch::new();
    ports[0].rx(&mut batch);
    assert!(batch.is_empty());
}
