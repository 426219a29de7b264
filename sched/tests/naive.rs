//! Each scheduler against a naive model of the kernel's rule, while servers come, go, change their weights, fill up and
//! drain: IPv4 and IPv6, with and without flags. The models keep lists, loop over them as the kernel's source does, and
//! share nothing with the schedulers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use proptest::prelude::*;
use pvs_proto::{Addr4, Addr6, Address, Endpoint, Ticks};
use pvs_sched::{
    Flow, Load, Loads, Method, MhSlots, SchedulerName, ServerConfig, ServerIndex, ServerKey,
    Service, ServiceConfig, ServiceFlags, ServiceIndex, ServiceKey, Transport, Tunables, Tunnel,
};
use siphasher::sip::SipHasher13;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hasher;
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

/// A server in the naive list.
#[derive(Clone, Debug)]
struct Real {
    n: u8,
    word: u32,
    weight: i64,
    last_weight: i64,
    active: i64,
    inactive: i64,
    full: bool,
}

impl Real {
    fn usable(&self) -> bool {
        self.weight > 0 && !self.full
    }
    fn overhead(&self) -> i64 {
        self.active * 256 + self.active + self.inactive
    }
}

/// Who wants a server.
struct Who {
    client: u32,
    port: u32,
    dest: u8,
    dest_word: u32,
    now: u32,
}

/// The kernel's rule in its simplest form.
trait Naive {
    fn edited(&mut self, _list: &[Real], _removed: Option<(u8, Option<u8>)>) {}
    fn pick(&mut self, list: &[Real], who: &Who) -> Option<u8>;
}

/// The first of the usable ones for which no other is better.
fn first_best(list: &[Real], better: impl Fn(&Real, &Real) -> bool) -> Option<u8> {
    let usable: Vec<&Real> = list.iter().filter(|s| s.usable()).collect();
    let best = usable
        .iter()
        .find(|s| !usable.iter().any(|other| better(other, s)));
    best.map(|s| s.n)
}

struct Stateless(fn(&[Real]) -> Option<u8>);

impl Naive for Stateless {
    fn pick(&mut self, list: &[Real], _: &Who) -> Option<u8> {
        (self.0)(list)
    }
}

fn wlc(list: &[Real]) -> Option<u8> {
    first_best(list, |a, b| {
        a.overhead() * b.weight < b.overhead() * a.weight
    })
}

fn lc(list: &[Real]) -> Option<u8> {
    first_best(list, |a, b| a.overhead() < b.overhead())
}

fn sed(list: &[Real]) -> Option<u8> {
    first_best(list, |a, b| {
        (a.active + 1) * b.weight < (b.active + 1) * a.weight
    })
}

fn nq(list: &[Real]) -> Option<u8> {
    let idle = list.iter().find(|s| s.usable() && s.active == 0);
    idle.map(|s| s.n).or_else(|| sed(list))
}

fn fo(list: &[Real]) -> Option<u8> {
    first_best(list, |a, b| a.weight > b.weight)
}

fn ovf(list: &[Real]) -> Option<u8> {
    let room: Vec<Real> = list
        .iter()
        .filter(|s| s.active <= s.weight)
        .cloned()
        .collect();
    fo(&room)
}

/// The last one picked; at the head of the list if `None`.
#[derive(Default)]
struct Rr(Option<u8>);

impl Naive for Rr {
    fn edited(&mut self, _: &[Real], removed: Option<(u8, Option<u8>)>) {
        if let Some((n, before)) = removed.filter(|(n, _)| self.0 == Some(*n)) {
            assert_eq!(self.0, Some(n));
            self.0 = before;
        }
    }
    fn pick(&mut self, list: &[Real], _: &Who) -> Option<u8> {
        let from = list
            .iter()
            .position(|s| Some(s.n) == self.0)
            .map_or(0, |at| at + 1);
        let found = (0..list.len())
            .map(|i| &list[(from + i) % list.len()])
            .find(|s| s.usable())?;
        self.0 = Some(found.n);
        self.0
    }
}

/// The kernel's mark: place (0 is the head), current weight, and the range of it.
#[derive(Default)]
struct Wrr {
    place: usize,
    weight: i64,
    top: i64,
    step: i64,
}

impl Naive for Wrr {
    fn edited(&mut self, list: &[Real], _: Option<(u8, Option<u8>)>) {
        self.place = 0;
        self.step = list.iter().map(|s| s.weight).fold(0, gcd).max(1);
        self.top = list.iter().map(|s| s.weight).max().unwrap_or(0) - (self.step - 1);
        if self.weight > self.top || self.weight == 0 {
            self.weight = self.top;
        } else if self.step > 1 {
            self.weight = self.weight / self.step * self.step + 1;
        }
    }
    fn pick(&mut self, list: &[Real], _: &Who) -> Option<u8> {
        if list.iter().all(|s| s.weight == 0) {
            return None;
        }
        let (last, mut at) = (self.place, self.place);
        let (mut stop, mut restarted, mut last_pass) = (None, false, false);
        loop {
            while at < list.len() {
                at += 1;
                if list[at - 1].weight >= self.weight && !list[at - 1].full {
                    self.place = at;
                    return Some(list[at - 1].n);
                }
                if stop == Some(at) {
                    self.place = at;
                    return None;
                }
            }
            at = 0;
            if self.weight > self.step {
                self.weight -= self.step;
            } else {
                self.weight = self.top;
                if last_pass || last == 0 {
                    self.place = 0;
                    return None;
                }
                restarted = true;
            }
            last_pass = self.weight <= self.step;
            if last_pass && restarted && last != 0 {
                stop = Some(last);
            }
        }
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn hash_32(word: u32) -> usize {
    ((u64::from(word) * 0x61c8_8647) as u32 >> 24) as usize
}

struct Dh;

impl Naive for Dh {
    fn pick(&mut self, list: &[Real], who: &Who) -> Option<u8> {
        let buckets: Vec<&Real> = list.iter().cycle().take(256).collect();
        let server = *buckets.get(hash_32(who.dest_word))?;
        server.usable().then_some(server.n)
    }
}

struct Sh {
    port: bool,
    fallback: bool,
}

impl Naive for Sh {
    fn pick(&mut self, list: &[Real], who: &Who) -> Option<u8> {
        let mut buckets = Vec::new();
        while buckets.len() < 256 && !list.is_empty() {
            for server in list {
                (0..server.weight.clamp(1, 256)).for_each(|_| buckets.push(server));
            }
        }
        let first = hash_32(
            who.client
                .wrapping_add(if self.port { who.port } else { 0 }),
        );
        let tries = (0..if self.fallback { 256 } else { 0 }).map(|n| (n + first) % 256);
        let all = std::iter::once(0)
            .chain(tries)
            .map(|offset| (offset + first) % 256);
        let mut servers = all.filter_map(|bucket| buckets.get(bucket));
        servers.find(|s| s.usable()).map(|s| s.n)
    }
}

struct Mh {
    port: bool,
    fallback: bool,
    slots: u32,
}

fn sip(word: u32, key: u64) -> u32 {
    let mut hasher = SipHasher13::new_with_keys(key, key);
    hasher.write(&word.to_le_bytes());
    hasher.finish() as u32
}

fn maglev(list: &[Real], slots: usize) -> Vec<Option<u8>> {
    let mut table = vec![None; slots];
    let divisor = list.iter().map(|s| s.last_weight).fold(0, gcd);
    let greatest = list.iter().map(|s| s.last_weight).max().unwrap_or(0);
    if divisor == 0 {
        return table;
    }
    let bits = (0..32)
        .rfind(|bit| (greatest / divisor) >> bit != 0)
        .unwrap()
        + 1;
    // The kernel's index of the size: 12 for 4093, 16 for 65521, 17 for 131071; half of it.
    let turn_bits = (f64::from(slots as u32).log2() as i32 + 1) / 2;
    let mut at: Vec<usize> = list
        .iter()
        .map(|s| sip(s.word, 2_654_435_761) as usize % slots)
        .collect();
    let mut free = table.len();
    for turn in (0..list.len()).cycle() {
        let server = &list[turn];
        let step = sip(server.word, 2_654_446_892) as usize % (slots - 1) + 1;
        let turns = ((server.last_weight / divisor) >> (bits - turn_bits).max(0))
            .max(server.last_weight.min(1));
        for _ in 0..turns {
            while table[at[turn]].is_some() {
                at[turn] = (at[turn] + step) % slots;
            }
            table[at[turn]] = Some(server.n);
            free -= 1;
            if free == 0 {
                return table;
            }
        }
    }
    unreachable!()
}

impl Naive for Mh {
    fn pick(&mut self, list: &[Real], who: &Who) -> Option<u8> {
        let table = maglev(list, self.slots as usize);
        let name = who
            .client
            .wrapping_add(if self.port { who.port } else { 0 });
        let slot = |offset: u32| sip(name.wrapping_add(offset), 2_654_435_761) % self.slots;
        let first = slot(0);
        let usable = |n: &u8| list.iter().any(|s| s.n == *n && s.usable());
        let tries = self.slots.min(4093);
        let tries = (0..if self.fallback { tries } else { 0 }).map(|n| (n + first) % self.slots);
        let all = std::iter::once(0).chain(tries);
        let found = all
            .filter_map(|offset| table[slot(offset) as usize])
            .find(usable);
        if found.is_some() || !self.fallback || self.slots <= 4093 {
            return found;
        }
        // What pvs adds: behind as many tries as the kernel makes, the next one in the list.
        let own = table[first as usize]?;
        let from = list.iter().position(|s| s.n == own).unwrap();
        let mut next = list.iter().cycle().skip(from).take(list.len());
        next.find(|s| s.usable()).map(|s| s.n)
    }
}

/// More active connections than its weight, while some server has not half as many as its own.
fn over_weight(list: &[Real], n: u8) -> bool {
    let server = list.iter().find(|s| s.n == n).unwrap();
    server.active > server.weight && list.iter().any(|s| s.active * 2 < s.weight)
}

/// Server and last use of each destination.
#[derive(Default)]
struct Lblc(BTreeMap<u8, (u8, u32)>);

impl Naive for Lblc {
    fn pick(&mut self, list: &[Real], who: &Who) -> Option<u8> {
        self.0.retain(|_, (_, used)| who.now - *used < DAY);
        if let Some((n, used)) = self.0.get_mut(&who.dest) {
            *used = who.now;
            let listed = list.iter().any(|s| s.n == *n && s.weight > 0);
            if listed && !over_weight(list, *n) {
                return Some(*n);
            }
        }
        let picked = wlc(list)?;
        self.0.insert(who.dest, (picked, who.now));
        Some(picked)
    }
}

/// Servers, last change and last use of each destination; the latest server first.
#[derive(Default)]
struct Lblcr(BTreeMap<u8, (Vec<u8>, u32, u32)>);

impl Naive for Lblcr {
    fn pick(&mut self, list: &[Real], who: &Who) -> Option<u8> {
        self.0.retain(|_, (_, _, used)| who.now - *used < DAY);
        let mut least = None;
        if let Some((set, changed, used)) = self.0.get_mut(&who.dest) {
            *used = who.now;
            let members: Vec<Real> = set
                .iter()
                .filter_map(|n| list.iter().find(|s| s.n == *n && s.weight > 0).cloned())
                .collect();
            least = wlc(&members);
            if set.len() > 1 && who.now - *changed > DAY {
                let more = |a: &Real, b: &Real| a.overhead() * b.weight > b.overhead() * a.weight;
                let most = members
                    .iter()
                    .find(|s| !members.iter().any(|other| more(other, s)));
                if let Some(most) = most {
                    set.retain(|n| *n != most.n);
                    *changed = who.now;
                }
            }
        }
        if least.is_some_and(|n| !over_weight(list, n)) {
            return least;
        }
        let picked = wlc(list)?;
        let (set, changed, _) = self.0.entry(who.dest).or_insert((vec![], who.now, who.now));
        if !set.contains(&picked) {
            set.insert(0, picked);
            *changed = who.now;
        }
        Some(picked)
    }
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
