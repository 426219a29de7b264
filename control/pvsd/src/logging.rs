//! The log: tracing's lines on standard error, with a level that can be changed while pvsd runs.

use crate::config::LogConfig;
use anyhow::{Context, Result};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// Changes the level.
pub struct Log(reload::Handle<EnvFilter, Registry>);

fn filter(config: &LogConfig) -> Result<EnvFilter> {
    EnvFilter::builder().parse(&config.level).with_context(|| {
        format!(
            "log.level is {:?}: error, warn, info, debug or trace is expected",
            config.level
        )
    })
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
