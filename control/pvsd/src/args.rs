//! The command line of pvsd.

use crate::manual::Page;
use clap::Parser;
use std::path::PathBuf;

/// The pvs director: balances connections over real servers, through DPDK.
#[derive(Debug, Parser)]
#[command(name = "pvsd", version, about)]
pub struct Args {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE", default_value = "/etc/pvs/pvsd.toml")]
    pub config: PathBuf,
    /// Listens here, whatever the file says.
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Logs from this level on, whatever the file says: error, warn, info, debug, trace.
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Uses 4 KiB pages, whatever the file says.
    #[arg(long)]
    pub no_hugepages: bool,
    /// Checks the configuration file and ends.
    #[arg(long)]
    pub check: bool,
    /// Deletes the mirror taps with their addresses and routes, and ends.
    #[arg(long, conflicts_with = "check")]
    pub remove_taps: bool,
    /// Prints a manual page for `man -l -`, and ends: pvsd(8), or pvsd.toml(5).
    #[arg(long, value_name = "SECTION", num_args = 0..=1, default_missing_value = "8")]
    pub manual: Option<Page>,
}
