//! pvsd, the director: arguments and configuration, DPDK, taps, threads, and their orderly end.
//!
//! The composition root: the one place that knows every crate. What it puts together is in
//! [`director`]; what it is told, in [`config`] and [`args`].

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
mod manual;
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
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let args = args::Args::parse();
    let cores = worker::all_cores();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if lost_hugepages(&error) => {
            tracing::warn!("{error:#}; starting anew on 4 KiB pages");
            let error = start_anew(&cores);
            eprintln!("pvsd: can't start anew without hugepages: {error:#}");
            ExitCode::FAILURE
        }
        Err(error) => {
            // One line: what is wrong, then why.
            eprintln!("pvsd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Hugepages that could be had were gone when DPDK wanted them.
fn lost_hugepages(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref();
    matches!(cause, Some(pvs_dpdk::EalError::HugepagesTaken(_)))
}

/// The same command without hugepages, in this process's place and on the cores that it was given:
/// DPDK can be started only once in a process. Returns only if that fails.
fn start_anew(cores: &[usize]) -> anyhow::Error {
    let arguments = std::env::args_os().skip(1);
    let program = std::env::current_exe();
    let program = program.and_then(|path| {
        worker::stay_on(cores)
            .map(|()| path)
            .map_err(io::Error::other)
    });
    match program {
        Ok(path) => Command::new(path)
            .args(arguments)
            .arg("--no-hugepages")
            .exec()
            .into(),
        Err(error) => error.into(),
    }
}

fn run(args: &args::Args) -> Result<()> {
    if let Some(page) = args.manual {
        print!("{}", manual::page(page)?);
        return Ok(());
    }
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
