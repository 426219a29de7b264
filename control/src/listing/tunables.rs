//! `sysctl`: tunables with their values, as sysctl(8) shows them.

use super::Detail;
use crate::command::Tuning;
use serde::Serialize;
use std::collections::BTreeMap;

/// A line for each tunable, or one JSON value.
#[must_use]
pub fn tunables(tunings: &[Tuning], detail: Detail) -> String {
    if !detail.json {
        let line = |t: &Tuning| format!("{} = {}\n", t.name, t.value);
        return tunings.iter().map(line).collect();
    }
    #[derive(Serialize)]
    struct Tunables<'a> {
        sysctl: BTreeMap<&'a str, &'a str>,
    }
    let pairs = tunings.iter().map(|t| (t.name.as_str(), t.value.as_str()));
    super::json(&Tunables {
        sysctl: pairs.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_sysctl_shows_them_and_as_json() {
        let tuning = |name: &str, value: &str| Tuning {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let two = [tuning("sync_threshold", "3\t50"), tuning("secure_tcp", "0")];
        let text = tunables(&two, Detail::default());
        assert_eq!(text, "sync_threshold = 3\t50\nsecure_tcp = 0\n");
        let json = Detail {
            json: true,
            ..Detail::default()
        };
        assert_eq!(
            tunables(&two, json),
            "{\"sysctl\":{\"secure_tcp\":\"0\",\"sync_threshold\":\"3\\t50\"}}\n"
        );
    }
}
