//! Queues and steering: how many queues a port gets, what its NIC is asked to hash, and which of
//! the three modes comes of it.
//!
//! `nic` is tried first, unless the operator says otherwise: every port must bring each client's
//! packets by the queue of one worker, the same on all ports. Where that can't be had packets
//! are handed over (`ring`).

use crate::config::{PortConfig, Role, SteeringConfig, name_of};
use anyhow::{Result, bail, ensure};
use pvs_dataplane::steering::{Steering, Toeplitz};
use pvs_dpdk::{Device, DeviceInfo, RssConfig, RssFields, RssState};

/// Bytes of the longest RSS key known.
const KEY_BYTES: usize = 52;

/// A key that nobody knows: one hash for all ports.
pub fn random_key() -> Vec<u8> {
    use std::hash::{BuildHasher, RandomState};
    let words = (0..KEY_BYTES.div_ceil(8) as u64).map(|n| RandomState::new().hash_one(n));
    words.flat_map(u64::to_ne_bytes).take(KEY_BYTES).collect()
}

/// The queues of a port: as many as there are workers, or as near to that as it can have. A worker
/// without one sends by another's, and one that has several receives by them in turn.
///
/// # Errors
/// It can't have as many as asked for.
pub fn queues(port: &PortConfig, info: &DeviceInfo, workers: u16) -> Result<u16> {
    let name = name_of(&port.device);
    let (min, max) = (info.min_queues, info.max_queues);
    if let Some(asked) = port.queues {
        ensure!(
            (min..=max).contains(&asked),
            "port {name}: {asked} queues asked for, {min} to {max} are possible"
        );
    }
    Ok(port.queues.unwrap_or(workers).clamp(min, max.max(min)))
}

/// What a port's NIC is asked to hash.
pub fn rss(port: &PortConfig, steering: SteeringConfig, key: &[u8]) -> RssConfig {
    let by_client = matches!(steering, SteeringConfig::Auto | SteeringConfig::Nic);
    let fields = match port.role {
        Role::Client if by_client => RssFields::Source,
        Role::Server if by_client => RssFields::Destination,
        _ => RssFields::Flow,
    };
    RssConfig {
        fields,
        key: Some(key.to_vec()),
    }
}

/// The mode, and the workers' steering.
///
/// # Errors
/// The mode that the operator wants can't be had; says why.
pub fn choose(wanted: SteeringConfig, workers: u16, ports: &[&Device]) -> Result<Steering> {
    if workers == 1 {
        return Ok(Steering::ALONE);
    }
    let steering = match wanted {
        SteeringConfig::Ring => Steering::ring(workers),
        SteeringConfig::Rxq => {
            for port in ports {
                let queues = port.caps().queues;
                ensure!(
                    queues >= workers,
                    "workers.steering is \"rxq\", but port {} has {queues} queues for {workers} workers: use \"ring\"",
                    port.name()
                );
            }
            Steering::rxq(workers)
        }
        SteeringConfig::Nic => match by_nic(workers, ports) {
            Ok(steering) => steering,
            Err(why) => bail!("workers.steering is \"nic\", but {why}: use \"ring\""),
        },
        SteeringConfig::Auto => by_nic(workers, ports).unwrap_or_else(|why| {
            tracing::info!("packets are handed over between workers, for {why}");
            Steering::ring(workers)
        }),
    };
    tracing::info!("{workers} workers, steering {}", steering.mode().label());
    Ok(steering)
}

/// Steering by the ports' hashes; or why they can't do it.
fn by_nic(workers: u16, ports: &[&Device]) -> Result<Steering, String> {
    let mut common: Option<(Vec<u8>, Vec<u16>)> = None;
    for port in ports {
        let name = port.name();
        let queues = port.caps().queues;
        if queues != workers {
            return Err(format!(
                "port {name} has {queues} queues for {workers} workers"
            ));
        }
        match port.rss() {
            RssState::On(RssFields::Source | RssFields::Destination) => {}
            RssState::On(RssFields::Flow) => {
                return Err(format!(
                    "port {name} has clients and servers on it (role \"both\")"
                ));
            }
            RssState::Off | RssState::Unsupported => {
                return Err(format!("port {name} can't hash the client's endpoint"));
            }
        }
        let own = (port.rss_key(), port.rss_table());
        let (Ok(key), Ok(table)) = own else {
            return Err(format!("port {name} does not tell its key and table"));
        };
        match &common {
            Some((first_key, first_table)) if !agree(first_key, first_table, &key, &table) => {
                return Err(format!("port {name} does not hash as the first port does"));
            }
            Some(_) => {}
            None => common = Some((key, table)),
        }
    }
    let (key, table) = common.ok_or("there is no port")?;
    let hash = Toeplitz::new(&key, table).ok_or("the key or the table is of an odd size")?;
    Ok(Steering::nic(workers, hash))
}

/// Both bring every hash to the same queue: tables of different lengths may.
fn agree(key: &[u8], table: &[u16], other_key: &[u8], other_table: &[u16]) -> bool {
    let keys = key.iter().zip(other_key).all(|(a, b)| a == b);
    let longest = table.len().max(other_table.len());
    let repeated = table.iter().cycle().zip(other_table.iter().cycle());
    keys && !table.is_empty()
        && !other_table.is_empty()
        && repeated.take(longest).all(|(a, b)| a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(queues: Option<u16>, role: Role) -> PortConfig {
        PortConfig {
            device: "net_af_packet0,iface=d0".to_owned(),
            mirror: "eth0".to_owned(),
            namespace: None,
            role,
            mtu: None,
            queues,
        }
    }

    fn info(min: u16, max: u16) -> DeviceInfo {
        DeviceInfo {
            driver: "net_af_packet".to_owned(),
            min_queues: min,
            max_queues: max,
            min_mtu: 68,
            max_mtu: 1500,
            rss_key_len: 40,
        }
    }

    #[test]
    fn a_queue_for_each_worker_as_far_as_there_are() {
        let plain = port(None, Role::Both);
        assert_eq!(queues(&plain, &info(1, 16), 4).unwrap(), 4);
        assert_eq!(queues(&plain, &info(1, 1), 4).unwrap(), 1);
        assert_eq!(queues(&plain, &info(2, 2), 2).unwrap(), 2);
        assert_eq!(
            queues(&port(Some(2), Role::Both), &info(1, 16), 4).unwrap(),
            2
        );
        let tell = |port, min, max, workers| {
            let error = queues(&port, &info(min, max), workers).unwrap_err();
            error.to_string()
        };
        assert_eq!(queues(&plain, &info(4, 4), 2).unwrap(), 4);
        assert!(tell(port(Some(3), Role::Both), 1, 2, 4).contains("1 to 2 are possible"));
    }

    #[test]
    fn a_nic_is_asked_for_the_clients_endpoint_where_it_is_known_which_that_is() {
        let fields = |role, wanted| rss(&port(None, role), wanted, &[0; 52]).fields;
        use SteeringConfig::{Auto, Nic, Ring, Rxq};
        assert_eq!(fields(Role::Client, Auto), RssFields::Source);
        assert_eq!(fields(Role::Server, Nic), RssFields::Destination);
        assert_eq!(fields(Role::Both, Auto), RssFields::Flow);
        assert_eq!(fields(Role::Client, Rxq), RssFields::Flow);
        assert_eq!(fields(Role::Server, Ring), RssFields::Flow);
    }

    #[test]
    fn tables_agree_if_they_lead_to_the_same_queues() {
        let key = [7; 40];
        assert!(agree(&key, &[0, 1], &key, &[0, 1, 0, 1]));
        assert!(agree(&key, &[0, 1, 0, 1], &[7; 52], &[0, 1]));
        assert!(!agree(&key, &[0, 1], &key, &[0, 1, 1, 0]));
        assert!(!agree(&key, &[0, 1], &[8; 40], &[0, 1]));
        assert!(!agree(&key, &[], &key, &[0]));
    }

    #[test]
    fn keys_are_long_enough_for_any_nic_and_each_is_another() {
        let (one, other) = (random_key(), random_key());
        assert_eq!((one.len(), other.len()), (KEY_BYTES, KEY_BYTES));
        assert_ne!(one, other);
    }
}
