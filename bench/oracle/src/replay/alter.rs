//! Recordings with a few fields that are not as recorded: a replayer that saw no
//! difference would prove nothing.
//!
//! Only fields that a replay compared are altered, and of masked texts only what is compared.

use super::case::{Case, Suite};
use super::ledger::{Compared, Difference, Ledger};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// Altered fields of a suite, each in another line.
pub const ALTERED: usize = 20;

/// A field that was altered.
#[derive(Clone, Debug)]
pub struct Altered {
    /// Which case.
    pub case: usize,
    /// Which line of it.
    pub line: usize,
    /// The line's name.
    pub name: String,
    /// Where in the line: a JSON pointer.
    pub field: String,
}

impl Altered {
    /// A difference is this alteration's. An altered name is missed under its entry, and too many
    /// in the set of entries; an entry that was added to an empty set is told under its place.
    #[must_use]
    pub fn explains(&self, difference: &Difference) -> bool {
        let (field, told) = (&self.field, &difference.field);
        let set = field.trim_end_matches(|c: char| c.is_ascii_digit());
        field == told || told.starts_with(&format!("{field}/")) || set.trim_end_matches('/') == told
    }
}

impl fmt::Display for Altered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.field)
    }
}

/// Steele, Lea and Flood's SplitMix64: the same numbers for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }

    /// One of several, which are no longer among them.
    fn take<T>(&mut self, of: &mut Vec<T>) -> Option<T> {
        let at = self.below(of.len());
        (!of.is_empty()).then(|| of.swap_remove(at))
    }
}

/// Alters a compared field in each of 20 lines (or in as many as there are)
/// that come out as recorded.
///
/// # Errors
/// If a field that was compared is not in its line.
pub fn alter(suite: &Suite, cases: &mut [Case], seed: u64) -> Result<Vec<Altered>> {
    let mut random = Random(seed);
    let places = cases.iter().enumerate().flat_map(|(case, of)| {
        let lines = of.lines.iter().enumerate();
        lines.map(move |(line, of)| (case, line, of.name.clone()))
    });
    let mut places: Vec<(usize, usize, String)> = places.collect();
    let mut replayed: BTreeMap<usize, Vec<Ledger>> = BTreeMap::new();
    let mut altered = Vec::new();
    while altered.len() < ALTERED {
        let Some((case, line, name)) = random.take(&mut places) else {
            break;
        };
        let of = cases.get_mut(case).context("a case")?;
        let ledgers = replayed.entry(case).or_insert_with(|| suite.replay(of));
        let ledger = ledgers.get(line).context("a ledger for each line")?;
        let value = &mut of.lines.get_mut(line).context("a line")?.value;
        // What is recorded as absent can't be altered.
        let is_there = |compared: &&Compared| value.pointer(&compared.field).is_some();
        let mut fields: Vec<Compared> = ledger.fields.iter().filter(is_there).cloned().collect();
        if !ledger.differences.is_empty() {
            continue;
        }
        if let Some(Compared { field, masked }) = random.take(&mut fields) {
            // Connections are lines of text in the recordings of packets.
            let lists_lines = value.get("scenario").is_some() && field.ends_with("/conns");
            let value = value.pointer_mut(&field).context("a compared field")?;
            match value.as_array_mut() {
                Some(list) if lists_lines && list.is_empty() => list.push(json!(LINE)),
                _ => alter_value(&field, value, &masked, &mut random),
            }
            altered.push(Altered {
                case,
                line,
                name,
                field,
            });
        }
    }
    Ok(altered)
}

/// Another value of the same kind.
fn alter_value(
    field: &str,
    value: &mut Value,
    masked: &[std::ops::Range<usize>],
    random: &mut Random,
) {
    let is_state = field == "/before" || field == "/after";
    match value {
        Value::Null if field.ends_with("active") => *value = json!(7),
        Value::Null if is_state => *value = json!(["SYN_RECV", "00:59"]),
        Value::Null => *value = json!("rs7"),
        Value::Bool(b) => *b = !*b,
        Value::Number(n) => *value = json!(n.as_i64().unwrap_or_default() + 1),
        Value::String(text) => *text = altered_text(text, masked, random),
        Value::Array(pair) if is_state => {
            let at = random.below(pair.len());
            if let Some(member) = pair.get_mut(at) {
                alter_value("", member, &[], random);
            }
        }
        Value::Array(list) if list.is_empty() => list.push(added(field)),
        Value::Array(list) => list.clear(),
        Value::Object(members) => {
            let at = random.below(members.len());
            if let Some(member) = members.values_mut().nth(at) {
                alter_value("", member, &[], random);
            }
        }
    }
}

/// A connection as a line of text.
const LINE: &str = "TCP 00:59 SYN_RECV 10.9.0.1:9999 10.0.0.100:80 192.168.1.1:80";

/// What an empty list is given.
fn added(field: &str) -> Value {
    let parts = ["TCP", "00:59", "SYN_RECV", "10.9.0.1:9999", "10.0.0.100:80"];
    let [pro, expire, state, src, virt] = parts;
    let dest = "192.168.1.1:80";
    match field.rsplit('/').next() {
        Some("out") if field.starts_with("/steps") => {
            json!({"if": "r0", "by": "ipvs", "via": [], "hex": "00"})
        }
        Some("conns") if field.starts_with("/steps") => json!({
            "pro": pro, "expire": expire, "state": state, "src": src, "virt": virt, "dest": dest,
        }),
        _ => json!("r0"),
    }
}

/// Another letter or digit in place of one that is not masked; a text without any gets one.
fn altered_text(text: &str, masked: &[std::ops::Range<usize>], random: &mut Random) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let is_hex = chars.len() > 8 && chars.iter().all(char::is_ascii_hexdigit);
    let is_masked = |at: usize| masked.iter().any(|range| range.contains(&at));
    let free =
        |(at, c): (usize, &char)| (c.is_ascii_alphanumeric() && !is_masked(at)).then_some(at);
    let mut places: Vec<usize> = chars.iter().enumerate().filter_map(free).collect();
    let place = random.take(&mut places);
    let Some(c) = place.and_then(|at| chars.get_mut(at)) else {
        return format!("{text}x");
    };
    *c = match *c {
        // Five seconds, or fifty, are more than any recorder took.
        digit @ '0'..='9' => char::from(b'0' + (digit as u8 - b'0' + 5) % 10),
        _ if is_hex => '0',
        'x' => 'y',
        _ => 'x',
    };
    chars.into_iter().collect()
}
