//! Replays the kernel's recordings and tells what came out otherwise: `pvs-oracle [KIND|all]`; or
//! writes altered ones, which a replay must tell: `pvs-oracle alter KIND SEED FOLDER`.
//!
//! For each kind the names and differences of failing cases, then one line. The exit status is 1 if
//! a case failed, and 2 for a kind that there is not or that has no case. See `scripts/oracle`.

use anyhow::{Context, Result, bail};
use pvs_oracle::replay::{Report, SUITES, Suite, alter, folder};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

const FAILED: u8 = 1;
const NO_CASE: u8 = 2;

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(status) => ExitCode::from(status),
        Err(e) => {
            // Nobody is left to tell if this fails.
            let _ = writeln!(std::io::stderr(), "oracle: {e:#}");
            ExitCode::from(NO_CASE)
        }
    }
}

fn run() -> Result<u8> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let suites: Vec<&'static Suite> = match words.as_slice() {
        [] | ["all"] => SUITES.iter().collect(),
        ["alter", name, seed, to] => return altered(named(name)?, seed.parse()?, Path::new(to)),
        [name] => vec![named(name)?],
        _ => bail!("usage: oracle [KIND|all], or oracle alter KIND SEED FOLDER"),
    };
    let mut statuses = Vec::new();
    for suite in suites {
        statuses.push(replayed(suite)?);
    }
    let has = |status| statuses.contains(&status);
    Ok([FAILED, NO_CASE]
        .into_iter()
        .find(|status| has(*status))
        .unwrap_or(0))
}

fn named(name: &str) -> Result<&'static Suite> {
    Suite::named(name).with_context(|| format!("there is no kind {name}"))
}

/// Writes a kind's recordings into a folder with some fields altered, and names them.
fn altered(suite: &'static Suite, seed: u64, to: &Path) -> Result<u8> {
    let mut cases = suite.cases(&folder())?;
    let altered = alter(suite, &mut cases, seed)?;
    let lines = cases.iter().flat_map(|case| &case.lines);
    let text: String = lines.map(|line| format!("{}\n", line.value)).collect();
    let file = to.join(suite.files.first().context("a kind has a file")?);
    fs::create_dir_all(file.parent().context("a file is in a folder")?)?;
    fs::write(file, text)?;
    let mut out = std::io::stdout().lock();
    for field in altered {
        writeln!(out, "{field}")?;
    }
    Ok(0)
}

/// Replays a kind and tells of it; returns its exit status.
fn replayed(suite: &'static Suite) -> Result<u8> {
    let cases = suite.cases(&folder())?;
    if cases.is_empty() {
        writeln!(std::io::stderr(), "oracle: {} has no case", suite.name)?;
        return Ok(NO_CASE);
    }
    let report = Report::of(suite, &cases);
    let mut out = std::io::stdout().lock();
    write!(out, "{}{}", report.differences(), report.details())?;
    writeln!(out, "{report}")?;
    Ok(if report.failed.is_empty() { 0 } else { FAILED })
}
