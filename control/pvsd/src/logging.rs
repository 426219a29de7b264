//! The log: tracing's lines on standard error, with a level that can be changed while pvsd runs.

use crate::config::LogConfig;
use anyhow::{Context, Result};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

/// Changes the level.
pub struct Log(reload::Handle<Targets, Registry>);

/// A level, or levels of single modules beside it: `info,pvs_linux=debug`.
fn filter(config: &LogConfig) -> Result<Targets> {
    // Targets takes a word alone for a module whose every line is wanted.
    let mut words = config.level.split(',').filter(|part| !part.contains('='));
    let are_levels = words.all(|word| !word.is_empty() && word.parse::<LevelFilter>().is_ok());
    let filter = config.level.parse::<Targets>().ok();
    filter.filter(|_| are_levels).with_context(|| {
        format!(
            "log.level is {:?}: error, warn, info, debug or trace is expected",
            config.level
        )
    })
}

/// Whether the level is one.
///
/// # Errors
/// A line that says what is expected.
pub fn check(config: &LogConfig) -> Result<()> {
    filter(config).map(drop)
}

/// Starts the log.
///
/// # Errors
/// The level is none.
pub fn start(config: &LogConfig) -> Result<Log> {
    let (filter, handle) = reload::Layer::new(filter(config)?);
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(false);
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .init();
    Ok(Log(handle))
}

impl Log {
    /// Another level from now on.
    ///
    /// # Errors
    /// The level is none; the old one stays.
    pub fn set(&self, config: &LogConfig) -> Result<()> {
        self.0
            .reload(filter(config)?)
            .context("the log level can't be changed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_taken_and_other_words_refused() {
        let level = |level: &str| {
            filter(&LogConfig {
                level: level.into(),
            })
        };
        for good in [
            "info",
            "WARN",
            "off",
            "info,pvs_linux=debug",
            "pvs_dpdk=trace",
        ] {
            assert!(level(good).is_ok(), "{good}");
        }
        for bad in ["verbose", "", "info,quiet", "pvs_dpdk=loud"] {
            assert!(level(bad).is_err(), "{bad}");
        }
    }
}
