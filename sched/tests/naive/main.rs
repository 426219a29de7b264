//! Each scheduler against a naive model of the kernel's rule, while servers come, go, change their
//! weights, fill up and drain: IPv4 and IPv6, with and without flags. The models keep lists, loop
//! over them as the kernel's source does, and share nothing with the schedulers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod hashes;
mod locality;
mod models;

use hashes::{Dh, Mh, Sh};
use locality::{Lblc, Lblcr};
use models::{Naive, Real, Rr, Stateless, Who, Wrr, fo, lc, nq, ovf, sed, wlc};
use proptest::prelude::*;
use pvs_proto::{Addr4, Addr6, Address, Endpoint, Ticks};
use pvs_sched::{
    Flow, Load, Loads, Method, MhSlots, SchedulerName, ServerConfig, ServerIndex, ServerKey,
    Service, ServiceConfig, ServiceFlags, ServiceIndex, ServiceKey, Transport, Tunables, Tunnel,
};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const DAY: u32 = 86_400;

/// What happens. Servers, clients and destinations go by numbers.
#[derive(Clone, Debug)]
enum Step {
    Add(u8, u32),
    Edit(u8, u32),
    Remove(u8),
    Load(u8, u32, u32),
    Full(u8, bool),
    Pass(u32),
    Pick(u8, u16, u8),
}

fn naive(scheduler: SchedulerName, flags: ServiceFlags, slots: u32) -> Box<dyn Naive> {
    let (fallback, port) = (
        flags.has(ServiceFlags::SCHED1),
        flags.has(ServiceFlags::SCHED2),
    );
    match scheduler {
        SchedulerName::Rr => Box::new(Rr::default()),
        SchedulerName::Wrr => Box::new(Wrr::default()),
        SchedulerName::Lc => Box::new(Stateless(lc)),
        SchedulerName::Wlc => Box::new(Stateless(wlc)),
        SchedulerName::Sed => Box::new(Stateless(sed)),
        SchedulerName::Nq => Box::new(Stateless(nq)),
        SchedulerName::Fo => Box::new(Stateless(fo)),
        SchedulerName::Ovf => Box::new(Stateless(ovf)),
        SchedulerName::Dh => Box::new(Dh),
        SchedulerName::Sh => Box::new(Sh { port, fallback }),
        SchedulerName::Mh => Box::new(Mh {
            port,
            fallback,
            slots,
        }),
        SchedulerName::Lblc => Box::new(Lblc::default()),
        SchedulerName::Lblcr => Box::new(Lblcr::default()),
        SchedulerName::None => Box::new(Stateless(|_| None)),
        SchedulerName::Twos => unreachable!("twos is random"),
    }
}

/// An address family, as the tests name addresses in it.
trait Named: Address + From<Self::Ip> {
    type Ip: Into<IpAddr> + Copy;
    fn named(kind: u16, n: u8) -> Self::Ip;
}

impl Named for Addr4 {
    type Ip = Ipv4Addr;
    fn named(kind: u16, n: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, kind as u8, n.wrapping_mul(37), n)
    }
}

impl Named for Addr6 {
    type Ip = Ipv6Addr;
    fn named(kind: u16, n: u8) -> Ipv6Addr {
        let n = u16::from(n);
        Ipv6Addr::new(0xfd00, kind, n.wrapping_mul(4099), 7, 0, n, kind, n)
    }
}

/// The words of an address, exclusive or.
fn word(ip: IpAddr) -> u32 {
    match ip {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => {
            let words = ip.octets();
            let words = words
                .chunks(4)
                .map(|w| u32::from_be_bytes(w.try_into().unwrap()));
            words.fold(0, |a, b| a ^ b)
        }
    }
}

/// Loads and thresholds by cell.
#[derive(Default)]
struct Table(HashMap<u32, (Load, bool)>);

impl Loads for Table {
    fn load(&self, server: ServerIndex) -> Load {
        self.0.get(&server.0).map(|s| s.0).unwrap_or_default()
    }
    fn overloaded(&self, server: ServerIndex) -> bool {
        self.0.get(&server.0).is_some_and(|s| s.1)
    }
}

fn config<A: Named>(n: u8, weight: u32) -> ServerConfig {
    ServerConfig {
        key: ServerKey {
            address: A::named(1, n).into(),
            port: 80,
        },
        method: Method::Route,
        weight,
        upper_threshold: 0,
        lower_threshold: 0,
        tunnel: Tunnel::default(),
    }
}

fn service<A: Named>(scheduler: SchedulerName, flags: ServiceFlags) -> Service {
    let key = ServiceKey::Address {
        protocol: Transport::Tcp,
        address: A::named(0, 100).into(),
        port: 80,
    };
    let config = ServiceConfig {
        key,
        scheduler,
        flags,
        persistence: None,
        engine: None,
    };
    Service::new(ServiceIndex(0), config, true)
}

/// Takes a step in both worlds; what each picked, if it is a pick.
struct Both {
    service: Service,
    loads: Table,
    list: Vec<Real>,
    naive: Box<dyn Naive>,
    cells: u32,
    now: u32,
}

impl Both {
    fn step<A: Named>(&mut self, step: &Step) -> Option<[Option<IpAddr>; 2]> {
        let at = |list: &[Real], n: u8| list.iter().position(|s| s.n == n);
        match *step {
            Step::Add(n, weight) if at(&self.list, n).is_none() => {
                // Always another cell: what a scheduler remembers of a server has to outlive it.
                self.cells += 1;
                let index = ServerIndex(self.cells);
                self.service = self.service.with_server(index, config::<A>(n, weight));
                let real = Real {
                    n,
                    word: word(A::named(1, n).into()).wrapping_add(80),
                    weight: weight.into(),
                    last_weight: weight.into(),
                    active: 0,
                    inactive: 0,
                    full: false,
                };
                self.list.insert(0, real);
                self.naive.edited(&self.list, None);
            }
            Step::Edit(n, weight) => {
                if let Some(at) = at(&self.list, n) {
                    self.service = self.service.with_edited_server(config::<A>(n, weight));
                    let real = &mut self.list[at];
                    real.weight = weight.into();
                    if weight > 0 {
                        real.last_weight = real.weight;
                    }
                    self.naive.edited(&self.list, None);
                }
            }
            Step::Remove(n) => {
                if let Some(at) = at(&self.list, n) {
                    self.service = self.service.without_server(config::<A>(n, 0).key);
                    self.list.remove(at);
                    let before = at.checked_sub(1).map(|before| self.list[before].n);
                    self.naive.edited(&self.list, Some((n, before)));
                }
            }
            Step::Load(n, active, inactive) => {
                if let Some(at) = at(&self.list, n) {
                    (self.list[at].active, self.list[at].inactive) =
                        (active.into(), inactive.into());
                    self.cell::<A>(n).0 = Load { active, inactive };
                }
            }
            Step::Full(n, full) => {
                if let Some(at) = at(&self.list, n) {
                    self.list[at].full = full;
                    self.cell::<A>(n).1 = full;
                }
            }
            Step::Pass(secs) => self.now += secs,
            Step::Pick(client, port, dest) => return Some(self.pick::<A>(client, port, dest)),
            Step::Add(..) => {}
        }
        None
    }

    fn cell<A: Named>(&mut self, n: u8) -> &mut (Load, bool) {
        let index = self.service.server(config::<A>(n, 0).key).unwrap().index;
        self.loads.0.entry(index.0).or_default()
    }

    fn pick<A: Named>(&mut self, client: u8, port: u16, dest: u8) -> [Option<IpAddr>; 2] {
        let ips = (A::named(2, client), A::named(3, dest));
        let flow = Flow {
            client: Endpoint {
                addr: A::from(ips.0),
                port,
            },
            virtual_: Endpoint {
                addr: A::from(ips.1),
                port: 80,
            },
            now: Ticks::from_secs(self.now),
        };
        let who = Who {
            client: word(ips.0.into()),
            port: port.into(),
            dest,
            dest_word: word(ips.1.into()),
            now: self.now,
        };
        self.service.settle(1);
        let picked = self.service.pick(&flow, &Tunables::default(), &self.loads);
        let naive = self.naive.pick(&self.list, &who);
        [
            naive.map(|n| A::named(1, n).into()),
            picked.map(|s| s.config.key.address),
        ]
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let n = || 1u8..7;
    let weight =
        || prop_oneof![4 => 0u32..6, 1 => prop::sample::select(vec![100, 300, 65_535, 1 << 20])];
    let connections = || prop_oneof![3 => 0u32..4, 1 => 0u32..2000];
    let step = prop_oneof![
        3 => (n(), weight()).prop_map(|(n, w)| Step::Add(n, w)),
        2 => (n(), weight()).prop_map(|(n, w)| Step::Edit(n, w)),
        1 => n().prop_map(Step::Remove),
        3 => (n(), connections(), connections()).prop_map(|(n, a, i)| Step::Load(n, a, i)),
        2 => (n(), prop::bool::weighted(0.3)).prop_map(|(n, full)| Step::Full(n, full)),
        1 => prop_oneof![0u32..100, 0u32..2 * DAY].prop_map(Step::Pass),
        8 => (any::<u8>(), any::<u16>(), 0u8..5).prop_map(|(c, p, d)| Step::Pick(c, p, d)),
    ];
    prop::collection::vec(step, 1..120)
}

fn picks_as_the_model_does<A: Named>(
    scheduler: SchedulerName,
    flags: ServiceFlags,
    slots: u32,
    steps: &[Step],
) -> Result<(), TestCaseError> {
    let mut both = Both {
        service: service::<A>(scheduler, flags).with_slots(MhSlots::new(slots).unwrap()),
        loads: Table::default(),
        list: Vec::new(),
        naive: naive(scheduler, flags, slots),
        cells: 0,
        now: 1,
    };
    for (at, step) in steps.iter().enumerate() {
        if let Some([naive, picked]) = both.step::<A>(step) {
            prop_assert_eq!(naive, picked, "{} at step {}", scheduler, at);
        }
    }
    Ok(())
}

macro_rules! models {
    ($($name:ident: $scheduler:ident, $cases:literal;)+) => {$(
        proptest! {
            #![proptest_config(ProptestConfig::with_cases($cases))]

            #[test]
            fn $name(steps in steps(), flags in 0u32..4) {
                let scheduler = SchedulerName::$scheduler;
                let flags = ServiceFlags(flags * ServiceFlags::SCHED1.0);
                picks_as_the_model_does::<Addr4>(scheduler, flags, 4093, &steps)?;
                picks_as_the_model_does::<Addr6>(scheduler, flags, 4093, &steps)?;
            }
        }
    )+};
}

models! {
    rr_picks_as_its_model: Rr, 128;
    wrr_picks_as_its_model: Wrr, 128;
    lc_picks_as_its_model: Lc, 128;
    wlc_picks_as_its_model: Wlc, 128;
    sed_picks_as_its_model: Sed, 128;
    nq_picks_as_its_model: Nq, 128;
    fo_picks_as_its_model: Fo, 128;
    ovf_picks_as_its_model: Ovf, 128;
    dh_picks_as_its_model: Dh, 128;
    sh_picks_as_its_model: Sh, 128;
    mh_picks_as_its_model: Mh, 32;
    lblc_picks_as_its_model: Lblc, 128;
    lblcr_picks_as_its_model: Lblcr, 128;
    none_picks_as_its_model: None, 16;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn mh_picks_as_its_model_whatever_the_number_of_slots(
        steps in steps(),
        flags in 0u32..4,
        slots in prop::sample::select(vec![251u32, 2039, 16_381, 65_521, 65_537, 131_071]),
    ) {
        let flags = ServiceFlags(flags * ServiceFlags::SCHED1.0);
        picks_as_the_model_does::<Addr4>(SchedulerName::Mh, flags, slots, &steps)?;
    }
}
