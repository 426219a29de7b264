//! The crates' arrows run one way: what each crate of the workspace may depend on, dependencies
//! of tests and of build scripts included. A new crate fails here until it has its line.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Everything below the binaries.
const ALL: &[&str] = &[
    "pvs-proto",
    "pvs-sched",
    "pvs-epoch",
    "pvs-dataplane",
    "dpdk-sys",
    "pvs-dpdk",
    "pvs-linux",
    "pvs-control",
    "pvs-oracle",
];

/// crate, what of the workspace it may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("pvs-proto", &[]),
    ("pvs-sched", &["pvs-proto"]),
    ("pvs-epoch", &[]),
    ("pvs-dataplane", &["pvs-proto", "pvs-sched", "pvs-epoch"]),
    ("dpdk-sys", &[]),
    (
        "pvs-dpdk",
        &["pvs-proto", "pvs-sched", "pvs-dataplane", "dpdk-sys"],
    ),
    ("pvs-linux", &["pvs-proto", "pvs-sched", "pvs-dataplane"]),
    ("pvs-control", &["pvs-proto", "pvs-sched"]),
    // Control server, engine, memory ports and a virtual clock in one process: no DPDK, no Linux.
    (
        "pvs-oracle",
        &[
            "pvs-proto",
            "pvs-sched",
            "pvs-epoch",
            "pvs-dataplane",
            "pvs-control",
        ],
    ),
    ("pvs-bench", ALL),
    ("pvsd", ALL),
];

/// The workspace's packages, as cargo sees them.
fn packages() -> Result<Vec<Value>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .args([
            "--manifest-path",
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"),
        ])
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata.get("packages").and_then(Value::as_array);
    packages
        .cloned()
        .context("cargo metadata lists no packages")
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value
        .get(key)
        .and_then(Value::as_str)
        .with_context(|| format!("no {key}"))
}

fn dependencies(package: &Value) -> Result<&Vec<Value>> {
    package
        .get("dependencies")
        .and_then(Value::as_array)
        .context("no dependencies")
}

#[test]
fn arrows_run_one_way() -> Result<()> {
    let packages = packages()?;
    let inside: BTreeSet<&str> = packages
        .iter()
        .map(|package| text(package, "name"))
        .collect::<Result<_>>()?;
    let allowed: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let known: BTreeSet<&str> = allowed.keys().copied().collect();
    assert_eq!(inside, known, "the crates of the workspace");

    let mut wrong = Vec::new();
    for package in &packages {
        let from = text(package, "name")?;
        for dependency in dependencies(package)? {
            let to = text(dependency, "name")?;
            if inside.contains(to) && !allowed.get(from).is_some_and(|ends| ends.contains(&to)) {
                wrong.push(format!("{from} -> {to}"));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that must not be: {wrong:?}");
    Ok(())
}

#[test]
fn the_table_has_no_circle() {
    let allowed: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let mut placed: BTreeSet<&str> = BTreeSet::new();
    while placed.len() < allowed.len() {
        let next: Vec<&str> = allowed
            .iter()
            .filter(|(from, ends)| {
                !placed.contains(*from) && ends.iter().all(|end| placed.contains(end))
            })
            .map(|(from, _)| *from)
            .collect();
        assert!(!next.is_empty(), "a circle above {placed:?}");
        placed.extend(next);
    }
}

/// The model checker is the one exception, and no shipped binary has it.
#[test]
fn epoch_depends_on_nothing() -> Result<()> {
    for package in packages()? {
        if text(&package, "name")? != "pvs-epoch" {
            continue;
        }
        for dependency in dependencies(&package)? {
            let target = dependency.get("target").and_then(Value::as_str);
            assert_eq!(
                (text(dependency, "name")?, target),
                ("loom", Some("cfg(loom)"))
            );
        }
        return Ok(());
    }
    anyhow::bail!("no crate pvs-epoch")
}
