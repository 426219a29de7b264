//! pvsd, the director: arguments and configuration, DPDK, taps, threads, and their orderly end.
//!
//! The composition root: the one place that knows every crate. What it puts together is in [`director`];
//! what it is told, in [`config`] and [`args`].

mod args;
mod board;
mod config;
mod crew;
mod director;
mod follow;
mod hands;
mod linux;
mod logging;
mod losses;
mod plane;
mod ports;
mod recovery;
mod repeats;
mod report;
mod rules;
mod sampler;
mod signals;
mod status;
mod steering;
mod threads;
mod watch;
mod watchdog;
mod worker;

use anyhow::Result;
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = args::Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line: what is wrong, then why.
            eprintln!("pvsd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &args::Args) -> Result<()> {
    let config = config::load(args)?;
    if args.check {
        println!("pvsd: {}: good", args.config.display());
        return Ok(());
    }
    let log = logging::start(&config.log)?;
    if args.remove_taps {
        return ports::remove_taps(&config);
    }
    director::run(args, &config, &log)
}
