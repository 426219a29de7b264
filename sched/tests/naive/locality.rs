//! The naive models of the schedulers by destination.

use crate::DAY;
use crate::models::{Naive, Real, Who, wlc};
use std::collections::BTreeMap;

/// More active connections than its weight, while some server has not half as many as its own.
pub fn over_weight(list: &[Real], n: u8) -> bool {
    let server = list.iter().find(|s| s.n == n).unwrap();
    server.active > server.weight && list.iter().any(|s| s.active * 2 < s.weight)
}

/// Server and last use of each destination.
#[derive(Default)]
pub struct Lblc(pub BTreeMap<u8, (u8, u32)>);

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
pub struct Lblcr(pub BTreeMap<u8, (Vec<u8>, u32, u32)>);

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
