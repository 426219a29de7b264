//! twos picks at random, so that only its exclusions and its distribution can be compared: a
//! recorded server must have been possible, and ten thousand picks more must be distributed
//! as the kernel's rule says.

use super::lab::Lab;
use super::ledger::Ledger;
use super::sched::{PAYLOAD, told};
use super::way::Way;
use crate::{Side, frames};
use anyhow::Result;
use pvs_proto::Protocol;
use pvs_proto::wire::tcp::SYN;
use pvs_sched::{SchedulerName, Service};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;

/// Picks that a distribution is judged by.
const PICKS: u32 = 10_000;

/// Classes of the chi-square test, of equal probability.
const CLASSES: usize = 20;

/// What chi-square with 19 degrees of freedom exceeds once in a thousand times.
const LIMIT: f64 = 43.82;

/// Milliseconds from one pick to the next.
const STEP_MS: u64 = 1;

/// The servers that a new connection may be led to.
pub(super) fn possible(lab: &Lab) -> BTreeSet<String> {
    let services = lab.snapshot().services();
    let servers = services.flat_map(|service| {
        let any = service.config.persistence.is_some();
        let listed = service.servers().iter();
        listed.filter(move |s| any || s.config.weight > 0)
    });
    servers.map(|s| named(s.config.key.address)).collect()
}

/// Some server may be full, which depends on where connections went.
pub(super) fn has_thresholds(lab: &Lab) -> bool {
    let mut services = lab.snapshot().services();
    services.any(|service| {
        let mut servers = service.servers().iter();
        servers.any(|s| s.config.upper_threshold > 0)
    })
}

/// A server of the laboratory by its address: its number is the last part.
fn named(address: IpAddr) -> String {
    let n = match address {
        IpAddr::V4(a) => a.to_bits() & 0xff,
        IpAddr::V6(a) => a.to_bits() as u32 & 0xff,
    };
    format!("rs{n}")
}

/// A listing of services without its counts of connections, and where these stand.
pub(super) fn without_counts(text: &str) -> (String, Vec<Range<usize>>) {
    let (mut kept, mut counts, mut at) = (String::new(), Vec::new(), 0);
    for line in text.split_inclusive('\n') {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        if let (["->", .., active, inactive], true) = (words.as_slice(), words.len() == 6) {
            let left = line.trim_end();
            let from = left.len() - inactive.len();
            let first = left.get(..from).unwrap_or_default().trim_end().len() - active.len();
            counts.push(at + first..at + left.len());
            kept += line.get(..first).unwrap_or_default().trim_end();
            kept.push('\n');
        } else {
            kept += line;
        }
        at += line.len();
    }
    (kept, counts)
}

/// Judges the distribution of further connections to this address, if they are
/// scheduled by twos alone.
pub(super) fn judge(
    lab: &mut Lab,
    ledger: &mut Ledger,
    now_ms: u64,
    to: SocketAddr,
    protocol: Protocol,
) -> Result<()> {
    let services: Vec<&Service> = lab.snapshot().services().collect();
    let [service] = services.as_slice() else {
        return Ok(());
    };
    let alone = service.config.scheduler == SchedulerName::Twos
        && service.config.persistence.is_none()
        && !has_thresholds(lab);
    if !alone {
        return Ok(());
    }
    let mut classes = [0u32; CLASSES];
    let mut unlike = Unlike(1);
    for n in 0..PICKS {
        lab.until(now_ms + STEP_MS * u64::from(n));
        let shares = shares(lab);
        let packet = packet(n, to, protocol);
        let ways = lab.send(Side::Client, &packet, ledger)?;
        let went = told(&ways, Way::to).unwrap_or_default();
        let Some(share) = shares.get(&went) else {
            if !shares.is_empty() {
                ledger.fail(format!("a pick went to {went:?}, not to one of {shares:?}"));
            }
            return Ok(());
        };
        let below: f64 = shares.range(..went).map(|(_, share)| share).sum();
        let class = (below + unlike.next() * share) * CLASSES as f64;
        if let Some(count) = classes.get_mut((class as usize).min(CLASSES - 1)) {
            *count += 1;
        }
    }
    let expected = f64::from(PICKS) / CLASSES as f64;
    let chi_square: f64 = classes
        .iter()
        .map(|count| (f64::from(*count) - expected).powi(2) / expected)
        .sum();
    if chi_square > LIMIT {
        ledger.fail(format!("chi-square of {PICKS} picks is {chi_square:.1}"));
    }
    Ok(())
}

/// The probability of each server by the kernel's rule: two numbers from 0 to the sum of the
/// weights, both included, lead to the first servers with which the weights add up to them; of the
/// two the one with less load for its weight is picked, the first one if they are equal.
fn shares(lab: &Lab) -> BTreeMap<String, f64> {
    let Some(service) = lab.snapshot().services().next() else {
        return BTreeMap::new();
    };
    let listed = service.servers().iter().filter(|s| s.config.weight > 0);
    let mut drawn: Vec<(String, f64, f64, f64)> = Vec::new();
    for server in listed {
        let weight = f64::from(server.config.weight);
        let load = lab.load(server.index);
        let load = f64::from(load.active) * 257.0 + f64::from(load.inactive);
        let numbers = weight + if drawn.is_empty() { 1.0 } else { 0.0 };
        drawn.push((named(server.config.key.address), numbers, weight, load));
    }
    let all: f64 = drawn.iter().map(|(_, numbers, ..)| numbers).sum();
    let mut shares = BTreeMap::new();
    for (name, numbers, weight, load) in &drawn {
        for (other, other_numbers, other_weight, other_load) in &drawn {
            let picked = if other_weight * load > weight * other_load {
                other
            } else {
                name
            };
            *shares.entry(picked.clone()).or_default() += numbers * other_numbers / (all * all);
        }
    }
    shares
}

/// The first packet of another client's connection.
fn packet(n: u32, to: SocketAddr, protocol: Protocol) -> Vec<u8> {
    let client = match to.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(0x0a09_8000 | n)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(0xfd77_u128 << 112 | u128::from(n))),
    };
    let from = SocketAddr::new(client, 50_000);
    match protocol {
        Protocol::UDP => frames::udp(from, to, PAYLOAD),
        _ => {
            let segment = frames::tcp_segment(from.port(), to.port(), 1000, 0, SYN, b"");
            frames::ip(from.ip(), to.ip(), protocol, segment)
        }
    }
}

/// Numbers from 0 to 1: Steele, Lea and Flood's SplitMix64.
struct Unlike(u64);

impl Unlike {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as f64 / u64::MAX as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_taken_out_of_a_listing() {
        let text = "TCP  10.0.0.100:80 twos\n  -> 192.168.1.1:80               Route   1      12         3         \n";
        let (kept, counts) = without_counts(text);
        assert_eq!(
            kept,
            "TCP  10.0.0.100:80 twos\n  -> 192.168.1.1:80               Route   1\n"
        );
        assert_eq!(&text[counts[0].clone()], "12         3");
    }
}
