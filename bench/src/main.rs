//! pvs-bench: how fast the director is, judged A/B in one run, as differences and ratios; what a
//! pick costs; and floods for labs.

mod flood;
mod forward;
mod sched;
mod tsc;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Benchmarks of pvs.
#[derive(Debug, Parser)]
#[command(name = "pvs-bench", version, about)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The poll function between a generating port and a sink, beside a MAC swap and the floor.
    Forward(forward::Args),
    /// What a scheduler's pick costs, for each scheduler and number of servers.
    Sched(sched::Args),
    /// Frames from many senders out by a kernel interface, bounded in number and time (for labs).
    Flood(flood::Args),
}

fn main() -> ExitCode {
    let ended = match Args::parse().what {
        What::Forward(args) => forward::run(&args),
        What::Sched(args) => sched::run(&args),
        What::Flood(args) => flood::run(&args),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pvs-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
