//! The naive models of the schedulers by hash.

use crate::models::{Naive, Real, Who, gcd};
use siphasher::sip::SipHasher13;
use std::hash::Hasher;

pub fn hash_32(word: u32) -> usize {
    ((u64::from(word) * 0x61c8_8647) as u32 >> 24) as usize
}

pub struct Dh;

impl Naive for Dh {
    fn pick(&mut self, list: &[Real], who: &Who) -> Option<u8> {
        let buckets: Vec<&Real> = list.iter().cycle().take(256).collect();
        let server = *buckets.get(hash_32(who.dest_word))?;
        server.usable().then_some(server.n)
    }
}

pub struct Sh {
    pub port: bool,
    pub fallback: bool,
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

pub struct Mh {
    pub port: bool,
    pub fallback: bool,
    pub slots: u32,
}

pub fn sip(word: u32, key: u64) -> u32 {
    let mut hasher = SipHasher13::new_with_keys(key, key);
    hasher.write(&word.to_le_bytes());
    hasher.finish() as u32
}

pub fn maglev(list: &[Real], slots: usize) -> Vec<Option<u8>> {
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
