//! What is compared of a listing that was not the same at each recording.
//!
//! Connections are a set, whose time left may differ by two seconds; of statistics right after
//! traffic, and of rates, everything but the numbers.

use crate::replay::ledger::Ledger;
use crate::replay::masks::Mask;
use std::ops::Range;

/// Seconds by which the time left of a connection may differ.
const EXPIRE_SECS: i64 = 2;

/// Lines above connections.
const HEADING_LINES: usize = 2;

/// Columns of numbers.
const FIGURES: usize = 5;

/// What tables of numbers have in their headings.
const TABLES: [(&str, Mask); 2] = [(" InPkts ", Mask::Figures), (" InPPS ", Mask::Rates)];

/// Compares standard output of a step that is marked as volatile.
pub(super) fn compare(ledger: &mut Ledger, field: String, recorded: &str, here: &str) {
    if recorded.starts_with("IPVS connection entries\n") {
        ledger.mask(Mask::ConnectionOrder);
        let wrong = connections(recorded, here);
        ledger.note(field, wrong);
    } else if let Some((_, mask)) = TABLES.iter().find(|(word, _)| recorded.contains(word)) {
        ledger.mask(*mask);
        let wrong = figures(recorded, here);
        ledger.note_masked(field, masked(recorded), wrong);
    } else {
        ledger.compare(field, recorded, here);
    }
}

/// What differs between two listings of connections.
fn connections(recorded: &str, here: &str) -> Option<String> {
    let split = |text: &str| -> (String, Vec<Entry>) {
        let mut lines = text.split_inclusive('\n');
        let heading = lines.by_ref().take(HEADING_LINES).collect();
        let mut entries: Vec<Entry> = lines.map(Entry::of).collect();
        entries.sort();
        (heading, entries)
    };
    let ((heading, entries), (heading_here, entries_here)) = (split(recorded), split(here));
    let alike = heading == heading_here
        && entries.len() == entries_here.len()
        && entries.iter().zip(&entries_here).all(|(a, b)| a.is_like(b));
    (!alike).then(|| format!("recorded {recorded:?}, here {here:?}"))
}

/// A connection's line, its time left apart.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    rest: String,
    secs: i64,
}

impl Entry {
    fn of(line: &str) -> Self {
        let expire = line.split_ascii_whitespace().nth(1).unwrap_or_default();
        let rest = line.replacen(expire, "", 1);
        let part = |text: &str| text.parse::<i64>().unwrap_or(i64::MIN / 100);
        let secs = match expire.split_once(':') {
            Some((minutes, secs)) => 60 * part(minutes) + part(secs),
            None => i64::MIN,
        };
        Self { rest, secs }
    }

    fn is_like(&self, other: &Self) -> bool {
        self.rest == other.rest && self.secs.abs_diff(other.secs) <= EXPIRE_SECS.unsigned_abs()
    }
}

/// What differs between two tables but their numbers.
fn figures(recorded: &str, here: &str) -> Option<String> {
    let without = |text: &str| -> Vec<String> {
        let line = |line: &str| match numbers(line).first() {
            Some(first) => line
                .get(..first.start)
                .unwrap_or(line)
                .trim_end()
                .to_owned(),
            None => line.to_owned(),
        };
        text.split('\n').map(line).collect()
    };
    (without(recorded) != without(here)).then(|| format!("recorded {recorded:?}, here {here:?}"))
}

/// The characters of a table that are numbers.
fn masked(text: &str) -> Vec<Range<usize>> {
    let mut masked = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        masked.extend(numbers(line).iter().map(|n| at + n.start..at + n.end));
        at += line.len();
    }
    masked
}

/// The places of the five numbers that a line of a table ends in; none if it does not.
fn numbers(line: &str) -> Vec<Range<usize>> {
    let words = line.split_ascii_whitespace().rev().take(FIGURES);
    let mut places = Vec::new();
    let mut end = line.len();
    for word in words {
        let digits = word.trim_end_matches(['K', 'M', 'G', 'T']);
        let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let start = line.get(..end).and_then(|head| head.rfind(word));
        match start.filter(|_| is_number) {
            Some(start) => {
                places.insert(0, start..start + word.len());
                end = start;
            }
            None => return Vec::new(),
        }
    }
    if places.len() == FIGURES {
        places
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADING: &str = "IPVS connection entries\npro expire state       source\n";

    #[test]
    fn connections_are_a_set_and_time_is_compared_to_two_seconds() {
        let table = |lines: &[&str]| format!("{HEADING}{}", lines.concat());
        let (a, b) = (
            "TCP 00:58  SYN_RECV    a b\n",
            "UDP 05:00  UDP         c d\n",
        );
        assert_eq!(connections(&table(&[a, b]), &table(&[b, a])), None);
        let later = a.replace("00:58", "01:00");
        assert_eq!(connections(&table(&[a, b]), &table(&[b, &later])), None);
        for other in [
            table(&[a]),
            table(&[a, a]),
            table(&[a, b, b]),
            table(&[a, &b.replace('d', "e")]),
            table(&[a, &b.replace("05:00", "04:57")]),
            table(&[a, b]).replace("pro", "Pro"),
        ] {
            assert!(connections(&table(&[a, b]), &other).is_some(), "{other}");
        }
    }

    #[test]
    fn of_figures_only_the_numbers_are_masked() {
        let table =
            "Conns   InPkts \n  -> RemoteAddress:Port\nUDP  10.0.0.100:53    1     9 0 3570K 7\n";
        let other = table.replace("1     9 0 3570K 7", "12 99999 0   1 2");
        assert_eq!(figures(table, &other), None);
        assert!(figures(table, &table.replace("UDP", "TCP")).is_some());
        assert!(figures(table, &table.replace(" 7\n", "\n")).is_some());
        let hidden = |range: Range<usize>| table.get(range).unwrap().to_owned();
        let hidden: Vec<String> = masked(table).into_iter().map(hidden).collect();
        assert_eq!(hidden, ["1", "9", "0", "3570K", "7"]);
    }
}
