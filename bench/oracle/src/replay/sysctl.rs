//! Sysctls of recordings, set as an operator sets them: by `pvsadm sysctl`.

use super::lab::Lab;
use super::ledger::Ledger;
use super::stated::Stated;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::collections::BTreeMap;

/// Where IPVS's are, under /proc/sys.
const IPVS: &str = "net/ipv4/vs/";

/// Every behaviour of the kernel's that can be had.
const STRICT: &str = "strict_compat=1";

/// Sets what a recording names, paths under /proc/sys.
///
/// # Errors
/// If one can't be set.
pub(super) fn set(lab: &mut Lab, recording: &Value) -> Result<()> {
    let named = recording.get("sysctl").and_then(Value::as_object);
    let mut words = vec!["sysctl".to_owned(), STRICT.to_owned()];
    for (path, value) in named.into_iter().flatten() {
        let path = path.replace('.', "/");
        let Some(name) = path.strip_prefix(IPVS) else {
            bail!("sysctl {path} is none of IPVS");
        };
        words.push(format!("{name}={}", text(value)));
    }
    let said = lab.pvsadm(&words)?;
    ensure!(said.rc == 0, "{words:?}: {}", said.stderr.trim_end());
    Ok(())
}

/// A value as it is written under /proc/sys.
fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Compares the director's defaults with the kernel's.
///
/// # Errors
/// If the line has no values, or the director does not list its own.
pub(super) fn compare_defaults(lab: &mut Lab, line: &Value) -> Result<Ledger> {
    let mut ledger = Ledger::default();
    let said = lab.pvsadm(&["sysctl".to_owned()])?;
    let pairs = said.stdout.lines().filter_map(|l| l.split_once(" = "));
    let here: BTreeMap<&str, &str> = pairs
        .map(|(name, value)| (name.rsplit('.').next().unwrap_or(name), value))
        .collect();
    let values = line.get("values").and_then(Value::as_object);
    for (name, value) in values.context("values")? {
        let field = format!("/values/{name}");
        // The kernel derives it from the machine's memory.
        if name == "sync_qlen_max" {
            ledger.excuse(Stated::SyncQueue);
            continue;
        }
        let (recorded, here) = (text(value), here.get(name.as_str()).copied());
        ledger.compare(field, &Some(recorded.as_str()), &here);
    }
    Ok(ledger)
}
