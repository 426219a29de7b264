//! The schedulers against naive models and against sequences worked out by hand.

use crate::cells::{AllCells, Cells, Load, Loads};
use crate::config::{
    Method, SchedulerName, ServerConfig, ServerKey, ServiceConfig, ServiceKey, Transport,
};
use crate::scheduler::Flow;
use crate::service::{Server, ServerIndex, Service, ServiceIndex};
use crate::tunables::Tunables;
use proptest::prelude::*;
use pvs_proto::{Addr4, Endpoint, Ticks};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn server(n: u8, weight: u32) -> ServerConfig {
    ServerConfig::plain(
        ServerKey {
            address: IpAddr::V4(Ipv4Addr::new(192, 168, 1, n)),
            port: 80,
        },
        Method::Route,
        weight,
    )
}

fn service(scheduler: SchedulerName, weights: &[u32]) -> Service {
    let key = ServiceKey::Address {
        protocol: Transport::Tcp,
        address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 100)),
        port: 80,
    };
    let config = ServiceConfig::plain(key, scheduler);
    let mut service = Service::new(ServiceIndex(0), config, true);
    for (n, weight) in (1u8..).zip(weights) {
        service = service.with_server(ServerIndex(n.into()), server(n, *weight));
    }
    service.settle(1);
    service
}

fn pick<L: Loads>(service: &Service, loads: &L) -> Option<u32> {
    pick_for(service, Addr4(0), loads)
}

/// For a client that wants an address like its own.
fn pick_for<L: Loads>(service: &Service, addr: Addr4, loads: &L) -> Option<u32> {
    let client = Endpoint { addr, port: 0 };
    let flow = Flow {
        client,
        virtual_: client,
        now: Ticks::default(),
    };
    service
        .pick(&flow, &Tunables::default(), loads)
        .map(|s| s.index.0)
}

fn picks(service: &Service, n: usize) -> Vec<u32> {
    let idle = Cells::new(0);
    (0..n).filter_map(|_| pick(service, &idle)).collect()
}

#[test]
fn rr_goes_from_the_last_added_to_the_first() {
    assert_eq!(
        picks(&service(SchedulerName::Rr, &[1, 1, 1]), 7),
        [3, 2, 1, 3, 2, 1, 3]
    );
}

#[test]
fn rr_skips_weight_zero_and_refuses_when_all_are_zero() {
    assert_eq!(
        picks(&service(SchedulerName::Rr, &[1, 0, 1]), 4),
        [3, 1, 3, 1]
    );
    assert_eq!(picks(&service(SchedulerName::Rr, &[0, 0]), 4), []);
    assert_eq!(picks(&service(SchedulerName::Rr, &[]), 4), []);
}

#[test]
fn rr_falls_back_to_the_server_before_a_removed_one() {
    let s = service(SchedulerName::Rr, &[1, 1, 1, 1]);
    assert_eq!(picks(&s, 2), [4, 3]);
    let mut s = s.without_server(server(3, 1).key);
    s.settle(1);
    // The position is at 4 now, so 2 follows; had nothing settled, it would be the same.
    assert_eq!(picks(&s, 1), [2]);
}

#[test]
fn rr_starts_at_a_new_head_when_the_used_head_was_removed() {
    let s = service(SchedulerName::Rr, &[1, 1]);
    assert_eq!(picks(&s, 1), [2]);
    let s = s
        .without_server(server(2, 1).key)
        .with_server(ServerIndex(3), server(3, 1));
    let mut s = s;
    s.settle(1);
    assert_eq!(picks(&s, 3), [3, 1, 3]);
}

#[test]
fn an_edit_that_is_never_published_moves_nothing() {
    let s = service(SchedulerName::Rr, &[1, 1, 1]);
    assert_eq!(picks(&s, 1), [3]);
    let _refused = s.without_server(server(3, 1).key);
    assert_eq!(picks(&s, 2), [2, 1]);
}

#[test]
fn wrr_gives_each_its_weight_in_descending_steps() {
    // Weights 1, 2, 3 on 1, 2, 3; the list is 3, 2, 1. The current weight starts where the first
    // server put it, at 1, and is not raised by those that came later.
    assert_eq!(
        picks(&service(SchedulerName::Wrr, &[1, 2, 3]), 9),
        [3, 2, 1, 3, 3, 2, 3, 2, 1]
    );
    // As recorded of the kernel for 3, 2, 1; a divisor of 10 changes nothing but the steps.
    for weights in [[3, 2, 1], [30, 20, 10]] {
        assert_eq!(
            picks(&service(SchedulerName::Wrr, &weights), 9),
            [3, 2, 1, 1, 2, 1, 3, 2, 1]
        );
    }
}

struct Table(HashMap<u32, Load>);

impl Loads for Table {
    fn load(&self, server: ServerIndex) -> Load {
        self.0.get(&server.0).copied().unwrap_or_default()
    }
}

struct Full(u32);

impl Loads for Full {
    fn load(&self, _: ServerIndex) -> Load {
        Load::default()
    }
    fn overloaded(&self, server: ServerIndex) -> bool {
        server.0 == self.0
    }
}

#[test]
fn an_overloaded_server_is_passed_over_by_all() {
    for name in SchedulerName::ALL {
        let s = service(*name, &[1, 5, 1]);
        let picked: Vec<_> = (0..20)
            .filter_map(|n| pick_for(&s, Addr4(n), &Full(2)))
            .collect();
        let refused = match name {
            SchedulerName::None => 20..=20,
            // Nobody takes its clients.
            SchedulerName::Dh | SchedulerName::Sh | SchedulerName::Mh => 1..=19,
            _ => 0..=0,
        };
        assert!(refused.contains(&(20 - picked.len())), "{name}");
        assert!(!picked.contains(&2), "{name}");
    }
    let alone = service(SchedulerName::Wrr, &[3]);
    assert_eq!(pick(&alone, &Full(1)), None);
}

#[test]
fn wrr_does_not_count_down_from_a_weight_of_the_list_before() {
    let s = service(SchedulerName::Wrr, &[1_000_000_000, 1]);
    let old = s.clone();
    let mut s = s.with_edited_server(server(1, 1));
    s.settle(1);
    // A worker that has not seen the edit goes round its own list and writes its weight back.
    assert_eq!(picks(&old, 3), [2, 1, 1]);
    let start = std::time::Instant::now();
    assert_eq!(picks(&s, 4), [2, 1, 2, 1]);
    assert!(start.elapsed().as_millis() < 100);
}

/// The kernel's own way to walk, step by step, as `ip_vs_wrr.c` describes it.
struct NaiveWrr {
    place: usize,
    weight: u32,
}

impl NaiveWrr {
    /// Places are 1 to n in list order, 0 is the head.
    fn pick(&mut self, weights: &[u32], full: &[bool]) -> Option<usize> {
        let step = weights.iter().fold(0, |a, b| gcd(a, *b)).max(1);
        let top = weights
            .iter()
            .max()
            .copied()
            .unwrap_or(0)
            .saturating_sub(step - 1);
        if weights.iter().all(|w| *w == 0) {
            return None;
        }
        let (last, mut at) = (self.place, self.place);
        let (mut stop, mut restarted, mut last_pass) = (None, false, false);
        loop {
            while at < weights.len() {
                at += 1;
                if weights[at - 1] >= self.weight && !full[at - 1] {
                    self.place = at;
                    return Some(at);
                }
                if stop == Some(at) {
                    self.place = at;
                    return None;
                }
            }
            at = 0;
            if self.weight > step {
                self.weight -= step;
            } else {
                self.weight = top;
                if last_pass || last == 0 {
                    self.place = 0;
                    return None;
                }
                restarted = true;
            }
            last_pass = self.weight <= step;
            if last_pass && restarted && last != 0 {
                stop = Some(last);
            }
        }
    }
}

struct FullOnes(Vec<bool>);

impl Loads for FullOnes {
    fn load(&self, _: ServerIndex) -> Load {
        Load::default()
    }
    fn overloaded(&self, server: ServerIndex) -> bool {
        self.0[server.0 as usize]
    }
}

proptest! {
    /// wrr against the naive walk, with servers that fill up and drain between the picks.
    #[test]
    fn wrr_picks_as_a_naive_walk_does(
        weights in prop::collection::vec(0u32..12, 1..6),
        rounds in prop::collection::vec(prop::collection::vec(any::<bool>(), 6), 1..30),
    ) {
        let s = service(SchedulerName::Wrr, &weights);
        let listed: Vec<u32> = s.servers().iter().map(|s| s.config.weight).collect();
        // Where the edits that made the list have left the weight: the kernel's
        // rule, once for each server.
        let mut weight = 0;
        for n in 1..=weights.len() {
            let step = weights[..n].iter().fold(0, |a, b| gcd(a, *b)).max(1);
            let top = weights[..n].iter().max().unwrap().saturating_sub(step - 1);
            weight = if weight > top || weight == 0 { top } else { weight / step * step + u32::from(step > 1) };
        }
        let mut naive = NaiveWrr { place: 0, weight };
        for full in rounds {
            let by_place: Vec<bool> = s.servers().iter().map(|s| full[s.index.0 as usize % 6]).collect();
            let loads = FullOnes((0..=weights.len()).map(|i| full[i % 6]).collect());
            let expected = naive.pick(&listed, &by_place).map(|place| s.servers()[place - 1].index.0);
            prop_assert_eq!(pick(&s, &loads), expected);
        }
    }

    /// Over one cycle every server gets exactly its weight divided by the common divisor.
    #[test]
    fn wrr_is_exact_over_a_cycle(weights in prop::collection::vec(0u32..20, 1..8)) {
        let s = service(SchedulerName::Wrr, &weights);
        let divisor = weights.iter().filter(|w| **w > 0).fold(0, |a, b| gcd(a, *b)).max(1);
        let cycle: u32 = weights.iter().map(|w| w / divisor).sum();
        let picked = picks(&s, cycle as usize);
        for (n, w) in (1u32..).zip(&weights) {
            let got = picked.iter().filter(|p| **p == n).count();
            prop_assert_eq!(got as u32, w / divisor);
        }
    }

    /// wlc against the definition, with exact fractions.
    #[test]
    fn wlc_is_the_first_least(loads in prop::collection::vec((0u32..50, 0u32..50, 0u32..5), 1..8)) {
        let weights: Vec<u32> = loads.iter().map(|l| l.2).collect();
        let s = service(SchedulerName::Wlc, &weights);
        let table: HashMap<u32, Load> =
            (1u32..).zip(&loads).map(|(n, l)| (n, Load { active: l.0, inactive: l.1 })).collect();
        let cost = |n: u32, w: u32| f64::from(table[&n].active * 257 + table[&n].inactive) / f64::from(w);
        let mut naive: Option<(u32, f64)> = None;
        for (n, w) in (1u32..).zip(&weights).collect::<Vec<_>>().into_iter().rev().filter(|(_, w)| **w > 0) {
            if naive.is_none_or(|(_, c)| c - cost(n, *w) > 1e-9) {
                naive = Some((n, cost(n, *w)));
            }
        }
        prop_assert_eq!(pick(&s, &Table(table.clone())), naive.map(|n| n.0));
    }
}

#[test]
fn a_peek_is_the_next_pick_and_moves_nothing() {
    for name in SchedulerName::ALL {
        let service = service(*name, &[3, 1, 2, 5]);
        let cells = Cells::new(8);
        let tunables = Tunables::default();
        for n in 0..40u32 {
            let client = Endpoint {
                addr: Addr4(n.wrapping_mul(0x9e37_79b9)),
                port: 4000,
            };
            let flow = Flow {
                client,
                virtual_: client,
                now: Ticks::default(),
            };
            let peeked = service.peek(&flow, &tunables, &cells).map(|s| s.index);
            let again = service.peek(&flow, &tunables, &cells).map(|s| s.index);
            let picked = service.pick(&flow, &tunables, &cells).map(|s| s.index);
            assert_eq!((peeked, again), (picked, picked), "{name}");
            if let Some(server) = picked {
                cells.open(server, n % 3 == 0);
            }
        }
    }
}

/// The cost of a server in two workers' cells, as its scheduler counts.
fn cost(name: SchedulerName, load: Load) -> u128 {
    match name {
        SchedulerName::Sed | SchedulerName::Nq => u128::from(load.active) + 1,
        _ => u128::from(load.active) * 257 + u128::from(load.inactive),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Many servers are not compared one by one: nothing else comes out of it.
    #[test]
    fn many_servers_are_compared_as_few_are(
        servers in prop::collection::vec((0u32..6, 0u32..9, 0u32..4, 0u8..40), 1..200),
        heavy in prop::sample::select(vec![1u32, 1 << 10, 1 << 17, 1 << 20]),
    ) {
        let weights: Vec<u32> = servers.iter().map(|s| s.2 * heavy).collect();
        let blocks = [Arc::new(Cells::new(256)), Arc::new(Cells::new(256))];
        let all = AllCells::new(blocks.iter().map(Arc::clone));
        for (n, (active, inactive, _, full)) in (1u32..).zip(&servers) {
            (0..*active).for_each(|i| blocks[i as usize % 2].open(ServerIndex(n), true));
            (0..*inactive).for_each(|_| blocks[1].open(ServerIndex(n), false));
            all.judge(ServerIndex(n), u32::from(*full == 0), 0);
        }
        for name in [SchedulerName::Lc, SchedulerName::Wlc, SchedulerName::Sed, SchedulerName::Nq] {
            let mut s = service(name, &weights);
            for (n, server_) in (1u8..).zip(&servers) {
                // Gaps among the cells.
                if server_.3 == 1 {
                    s = s.without_server(server(n, 0).key);
                }
            }
            s.settle(2);
            let usable = || s.servers().iter().filter(|s| s.config.weight > 0 && !all.overloaded(s.index));
            let weight = |s: &Server| if name == SchedulerName::Lc { 1 } else { u128::from(s.config.weight) };
            let less = |a: &Server, b: &Server| {
                cost(name, all.load(a.index)) * weight(b) < cost(name, all.load(b.index)) * weight(a)
            };
            let idle = usable().find(|s| name == SchedulerName::Nq && all.load(s.index).active == 0);
            let naive = idle.or_else(|| usable().reduce(|least, s| if less(s, least) { s } else { least }));
            prop_assert_eq!(pick(&s, &all.as_worker(0)), naive.map(|s| s.index.0), "{}", name);
        }
    }
}
