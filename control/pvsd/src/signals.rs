//! Signals: SIGTERM and SIGINT end pvsd in order, SIGHUP reloads what can be reloaded.

use crate::args::Args;
use crate::config::{self, Config};
use crate::logging::Log;
use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The signals that pvsd answers; made before other threads, so that none is lost.
pub struct Watch(Signals);

impl Watch {
    /// From now on signals are kept for [`end`](Self::end).
    ///
    /// # Errors
    /// The system refuses.
    pub fn new() -> Result<Self> {
        Ok(Self(
            Signals::new([SIGTERM, SIGINT, SIGHUP]).context("signals can't be watched")?,
        ))
    }

    /// Answers the signals that came; true if pvsd is to end.
    pub fn end(&mut self, args: &Args, running: &Config, log: &Log) -> bool {
        for signal in self.0.pending() {
            if signal != SIGHUP {
                tracing::info!("ends on signal {signal}");
                return true;
            }
            reload(args, running, log);
        }
        false
    }
}

/// Reads the file again: the log's level changes at once, all else is named and needs a restart.
fn reload(args: &Args, running: &Config, log: &Log) {
    let fresh = match config::load(args) {
        Ok(fresh) => fresh,
        Err(error) => {
            tracing::error!("not reloaded, nothing has changed: {error:#}");
            return;
        }
    };
    if let Err(error) = log.set(&fresh.log) {
        tracing::error!("the log level stays: {error:#}");
    }
    let sections = [
        ("[[port]]", fresh.port != running.port),
        ("[workers]", fresh.workers != running.workers),
        ("[memory]", fresh.memory != running.memory),
        ("[table]", fresh.table != running.table),
        ("[control]", fresh.control != running.control),
        ("[rules]", fresh.rules != running.rules),
        ("[sysctl]", fresh.sysctl != running.sysctl),
        ("[debug]", fresh.debug != running.debug),
    ];
    let changed: Vec<_> = sections.iter().filter(|s| s.1).map(|s| s.0).collect();
    if changed.is_empty() {
        tracing::info!("reloaded");
    } else {
        tracing::warn!(
            "reloaded the log level; needs a restart to take effect: {}",
            changed.join(" ")
        );
    }
}
