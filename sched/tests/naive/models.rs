//! Lists of servers and the naive models that go through them.

/// A server in the naive list.
#[derive(Clone, Debug)]
pub struct Real {
    pub n: u8,
    pub word: u32,
    pub weight: i64,
    pub last_weight: i64,
    pub active: i64,
    pub inactive: i64,
    pub full: bool,
}

impl Real {
    pub fn usable(&self) -> bool {
        self.weight > 0 && !self.full
    }
    pub fn overhead(&self) -> i64 {
        self.active * 256 + self.active + self.inactive
    }
}

/// Who wants a server.
pub struct Who {
    pub client: u32,
    pub port: u32,
    pub dest: u8,
    pub dest_word: u32,
    pub now: u32,
}

/// The kernel's rule in its simplest form.
pub trait Naive {
    fn edited(&mut self, _list: &[Real], _removed: Option<(u8, Option<u8>)>) {}
    fn pick(&mut self, list: &[Real], who: &Who) -> Option<u8>;
}

/// The first of the usable ones for which no other is better.
pub fn first_best(list: &[Real], better: impl Fn(&Real, &Real) -> bool) -> Option<u8> {
    let usable: Vec<&Real> = list.iter().filter(|s| s.usable()).collect();
    let best = usable
        .iter()
        .find(|s| !usable.iter().any(|other| better(other, s)));
    best.map(|s| s.n)
}

pub struct Stateless(pub fn(&[Real]) -> Option<u8>);

impl Naive for Stateless {
    fn pick(&mut self, list: &[Real], _: &Who) -> Option<u8> {
        (self.0)(list)
    }
}

pub fn wlc(list: &[Real]) -> Option<u8> {
    first_best(list, |a, b| {
        a.overhead() * b.weight < b.overhead() * a.weight
    })
}

pub fn lc(list: &[Real]) -> Option<u8> {
    first_best(list, |a, b| a.overhead() < b.overhead())
}

pub fn sed(list: &[Real]) -> Option<u8> {
    first_best(list, |a, b| {
        (a.active + 1) * b.weight < (b.active + 1) * a.weight
    })
}

pub fn nq(list: &[Real]) -> Option<u8> {
    let idle = list.iter().find(|s| s.usable() && s.active == 0);
    idle.map(|s| s.n).or_else(|| sed(list))
}

pub fn fo(list: &[Real]) -> Option<u8> {
    first_best(list, |a, b| a.weight > b.weight)
}

pub fn ovf(list: &[Real]) -> Option<u8> {
    let room: Vec<Real> = list
        .iter()
        .filter(|s| s.active <= s.weight)
        .cloned()
        .collect();
    fo(&room)
}

/// The last one picked; at the head of the list if `None`.
#[derive(Default)]
pub struct Rr(pub Option<u8>);

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
pub struct Wrr {
    pub place: usize,
    pub weight: i64,
    pub top: i64,
    pub step: i64,
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

pub fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
