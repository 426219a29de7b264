//! The file, read and judged.

use super::{Config, Hugepages, PortConfig, TableConfig, WORKERS_MAX, WorkersConfig, name_of};
use crate::args::Args;
use crate::logging;
use anyhow::{Context, Result, anyhow, bail, ensure};
use pvs_control::command::Tuning;
use pvs_sched::Tunables;
use std::collections::BTreeSet;
use std::path::Path;

/// Reads the file and applies the command line on top.
///
/// # Errors
/// The file can't be read, is no TOML, has an unknown key, or says what can't be.
pub fn load(args: &Args) -> Result<Config> {
    let path = args.config.display();
    let text = std::fs::read_to_string(&args.config)
        .with_context(|| format!("{path}: can't be read (another file: pvsd --config FILE)"))?;
    let mut config = parse(&args.config, &text)?;
    if let Some(socket) = &args.socket {
        config.control.socket.clone_from(socket);
    }
    if args.no_hugepages {
        config.memory.hugepages = Hugepages::Off;
    }
    if let Some(level) = &args.log_level {
        config.log.level.clone_from(level);
    }
    check(&config).with_context(|| path.to_string())?;
    Ok(config)
}

pub(super) fn parse(path: &Path, text: &str) -> Result<Config> {
    match toml::from_str(text) {
        Ok(config) => Ok(config),
        Err(error) => {
            let before = error
                .span()
                .and_then(|span| text.get(..span.start))
                .unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let message = error.message().replace('\n', " ");
            bail!("{}: line {line}: {message}", path.display())
        }
    }
}

pub(super) fn check(config: &Config) -> Result<()> {
    check_ports(&config.port)?;
    check_workers(&config.workers)?;
    check_table(&config.table)?;
    config.control.mode()?;
    logging::check(&config.log)?;
    config.rules.mh_slots()?;
    let mut tunables = Tunables::default();
    for Tuning { name, value } in config.sysctl.tunings() {
        let set = tunables.set(&name, &value);
        set.map_err(|error| anyhow!("sysctl.{name} is {value}: {error}"))?;
    }
    Ok(())
}

fn check_ports(ports: &[PortConfig]) -> Result<()> {
    ensure!(
        !ports.is_empty(),
        "no port: at least one [[port]] with device and mirror is needed"
    );
    for (at, port) in ports.iter().enumerate() {
        let (device, mirror) = (&port.device, &port.mirror);
        pvs_linux::check_name(mirror).with_context(|| format!("port {device}: the mirror"))?;
        ensure!(
            !device.contains('\0'),
            "port {device:?}: a device without a NUL byte is needed"
        );
        let earlier = ports.iter().take(at);
        let twin = earlier
            .clone()
            .any(|p| p.mirror == *mirror && p.namespace == port.namespace);
        ensure!(
            !twin,
            "two ports have the mirror {mirror}: each needs one of its own"
        );
        let twin = earlier
            .clone()
            .any(|p| name_of(&p.device) == name_of(device));
        ensure!(
            !twin,
            "two ports have the device {}: each needs one of its own",
            name_of(device)
        );
        let netdev = port.netdev();
        let twin = earlier.clone().any(|p| p.netdev() == netdev);
        ensure!(
            !twin || netdev.is_none(),
            "two ports have the interface {}: each needs one of its own",
            netdev.unwrap_or_default()
        );
    }
    Ok(())
}

fn check_workers(workers: &WorkersConfig) -> Result<()> {
    ensure!(
        (1..=WORKERS_MAX).contains(&workers.count),
        "workers.count is {}: 1 to {WORKERS_MAX} are possible",
        workers.count
    );
    let cores = workers.cores.len();
    ensure!(
        cores == 0 || cores == usize::from(workers.count),
        "workers.cores names {cores} cores for {} workers: one for each, or none to let pvsd choose",
        workers.count
    );
    let mut seen = BTreeSet::new();
    let twice = workers.cores.iter().find(|core| !seen.insert(**core));
    if let Some(core) = twice {
        bail!("workers.cores names core {core} twice: each worker needs one of its own");
    }
    Ok(())
}

fn check_table(table: &TableConfig) -> Result<()> {
    let connections = table.connections;
    let connections6 = table.connections6.unwrap_or(connections);
    for (key, value) in [("connections", connections), ("connections6", connections6)] {
        ensure!(
            (1024..=1 << 28).contains(&value),
            "table.{key} is {value}: 1024 to 268435456 are possible"
        );
    }
    let servers = table.servers;
    ensure!(
        (1..=pvs_sched::limits::SERVERS_MAX as u32).contains(&servers),
        "table.servers is {servers}: 1 to {} are possible",
        pvs_sched::limits::SERVERS_MAX
    );
    let templates = table.templates;
    ensure!(
        (512..=1 << 21).contains(&templates),
        "table.templates is {templates}: 512 to 2097152 are possible"
    );
    Ok(())
}
