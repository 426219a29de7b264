//! The kernel's recordings against the whole engine: what no rule leaves out is the same. And a
//! replayer that saw no difference would prove nothing: altered recordings are told.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use pvs_oracle::replay::{Case, Ledger, Outcome, Report, Suite, folder};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Lines that passed when this was last written; there may only be more.
const SCHED_MIN: usize = 47;
const STATES_MIN: usize = 281;
const PACKETS_MIN: usize = 357;

/// Altered fields of each suite.
const ALTERED: usize = 20;

fn replayed(suite: Suite, passed_min: usize) {
    let cases = suite.cases(&folder()).unwrap();
    let report = Report::of(suite, &cases).unwrap();
    println!("{report}");
    assert!(report.failed.is_empty(), "{}", report.differences());
    assert!(report.passed >= passed_min, "{report}");
}

#[test]
fn connections_go_to_the_recorded_servers() {
    replayed(Suite::Sched, SCHED_MIN);
}

#[test]
fn packets_lead_to_the_recorded_states() {
    replayed(Suite::States, STATES_MIN);
}

#[test]
fn packets_come_out_as_recorded() {
    replayed(Suite::Packets, PACKETS_MIN);
}

/// Steele, Lea and Flood's SplitMix64: the same fields every time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

/// Another letter or digit in place of one; an empty text gets one.
fn altered_text(text: &str, random: &mut Random) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let places: Vec<usize> = (0..chars.len())
        .filter(|at| chars[*at].is_ascii_alphanumeric())
        .collect();
    if places.is_empty() {
        return format!("{text}x");
    }
    let at = places[random.below(places.len())];
    chars[at] = match chars[at] {
        // Five seconds, or fifty, are more than any recorder took.
        digit @ '0'..='9' => char::from(b'0' + (digit as u8 - b'0' + 5) % 10),
        'x' => 'y',
        _ => 'x',
    };
    chars.into_iter().collect()
}

fn alter(field: &str, value: &mut Value, random: &mut Random) {
    *value = match &*value {
        Value::Null if field.ends_with("active") => json!(7),
        Value::Null if field == "/before" || field == "/after" => json!(["SYN_RECV", "00:59"]),
        Value::Null => json!("rs7"),
        Value::Number(n) => json!(n.as_i64().unwrap() + 1),
        Value::String(text) => json!(altered_text(text, random)),
        Value::Array(pair) if field == "/before" || field == "/after" => {
            let mut pair = pair.clone();
            let at = random.below(2);
            alter("", &mut pair[at], random);
            json!(pair)
        }
        Value::Array(list) if list.is_empty() && field == "/conns" => {
            json!(["TCP 00:59 SYN_RECV 10.9.0.1:9999 10.0.0.100:80 192.168.1.1:80"])
        }
        Value::Array(list) if list.is_empty() && field.ends_with("/conns") => json!([{
            "pro": "TCP", "expire": "00:59", "state": "SYN_RECV",
            "src": "10.9.0.1:9999", "virt": "10.0.0.100:80", "dest": "192.168.1.1:80",
        }]),
        Value::Array(list) if list.is_empty() => json!(["r0"]),
        Value::Array(_) => json!([]),
        Value::Object(members) => {
            let mut members = members.clone();
            let at = random.below(members.len());
            let member = members.values_mut().nth(at).unwrap();
            alter("", member, random);
            json!(members)
        }
        Value::Bool(b) => json!(!b),
    };
}

/// Every line that is compared, with its ledger, by case and line.
fn compared(cases: &[Case]) -> Vec<((usize, usize), Ledger)> {
    let mut all = Vec::new();
    for (at, case) in cases.iter().enumerate() {
        for (line, outcome) in case.replay().unwrap().into_iter().enumerate() {
            if let Outcome::Compared(ledger) = outcome {
                all.push(((at, line), ledger));
            }
        }
    }
    all
}

/// Alters a field in each of 20 lines; these are told, and no other.
fn altered_fields_are_told(suite: Suite, seed: u64) {
    let mut cases = suite.cases(&folder()).unwrap();
    let mut random = Random(seed);
    let mut lines = compared(&cases);
    let mut altered = BTreeMap::new();
    while altered.len() < ALTERED {
        let ((case, line), ledger) = lines.swap_remove(random.below(lines.len()));
        assert_eq!(ledger.differences, []);
        let value = &mut cases[case].lines[line].value;
        // A text that is recorded as absent cannot be altered.
        let fields = ledger.fields.iter().filter(|f| value.pointer(f).is_some());
        let fields: Vec<&String> = fields.collect();
        let field = fields[random.below(fields.len())];
        alter(field, value.pointer_mut(field).unwrap(), &mut random);
        altered.insert((case, line), field.clone());
    }
    let mut told = BTreeSet::new();
    for (place, ledger) in compared(&cases) {
        for difference in &ledger.differences {
            let field = altered.get(&place).map_or("", String::as_str);
            // An altered name is missed under its entry, and too many in the set of entries; an entry that
            // was added to an empty set is told under its place.
            let related = field == difference.field
                || (!field.is_empty() && difference.field.starts_with(&format!("{field}/")))
                || field
                    .strip_suffix(char::is_numeric)
                    .is_some_and(|f| f.starts_with(&difference.field));
            assert!(related, "{field} was altered, {difference} is told");
            told.insert(place);
        }
    }
    assert_eq!(told, altered.keys().copied().collect());
    println!(
        "{}: {} altered fields told: {:?}",
        suite.name(),
        told.len(),
        altered.values()
    );
}

#[test]
fn altered_scheduling_is_told() {
    altered_fields_are_told(Suite::Sched, 1);
}

#[test]
fn altered_states_are_told() {
    altered_fields_are_told(Suite::States, 2);
}

#[test]
fn altered_packets_are_told() {
    altered_fields_are_told(Suite::Packets, 3);
}
