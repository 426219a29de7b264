//! `pvs-bench flood`: many small frames from many senders out by a kernel interface.
//!
//! For the labs: what a director does with traffic that is no load balancing, or that leads
//! nowhere. It ends after so many frames or seconds, whatever comes first. IPv4 only, and no
//! measure of speed: a packet socket moves some hundred thousand frames a second, which is much for
//! Linux and little for pvs.

mod frame;
mod socket;

use anyhow::{Result, ensure};
use frame::{Flood, Prefix};
use pvs_proto::MacAddr;
use socket::PacketSocket;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// UDP datagrams without data.
    Udp,
    /// TCP segments with SYN.
    Syn,
    /// TCP segments with ACK from port 179, as those of BGP's neighbours.
    Bgp,
    /// ARP requests for the address, to all.
    Arp,
}

/// Arguments of `pvs-bench flood`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The interface to send by.
    #[arg(long)]
    interface: String,
    /// What to send.
    #[arg(long, value_enum)]
    kind: Kind,
    /// Address and port to send to; with ARP the address that is asked for.
    #[arg(long)]
    to: SocketAddrV4,
    /// The hardware address to send to; ARP goes to all.
    #[arg(long, default_value = "ff:ff:ff:ff:ff:ff")]
    mac: MacAddr,
    /// The senders' addresses, one after the other, each with a port (but BGP) and
    /// hardware address of its own.
    #[arg(long)]
    from: Prefix,
    /// Frames to send.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    frames: u32,
    /// Frames to send in a second; as many as go if not given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rate: Option<u32>,
    /// Seconds after which it ends in any case.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

/// How many frames pass between looks at the clock.
const CLOCK_EVERY: u32 = 64;

/// Sends, and prints how many there were and how long it took.
pub fn run(args: &Args) -> Result<()> {
    let socket = PacketSocket::open(&args.interface)?;
    let mut flood = Flood::new(args.kind, args.to, args.mac, args.from);
    let start = Instant::now();
    let limit = Duration::from_secs(args.seconds);
    let (mut sent, mut refused) = (0u32, 0u32);
    for number in 0..args.frames {
        match socket.send(flood.next_frame())? {
            true => sent += 1,
            false => refused += 1,
        }
        if number % CLOCK_EVERY == 0 {
            let elapsed = start.elapsed();
            if elapsed >= limit {
                break;
            }
            if let Some(ahead) = due(number, args.rate).checked_sub(elapsed) {
                std::thread::sleep(ahead);
            }
        }
    }
    ensure!(sent > 0, "{} took no frame", args.interface);
    let took = start.elapsed().as_secs_f64();
    let rate = f64::from(sent) / took.max(1e-9);
    println!("{sent} frames in {took:.2} s, {rate:.0} a second; {refused} found no room");
    Ok(())
}

/// When this frame's turn is, at that rate.
fn due(number: u32, rate: Option<u32>) -> Duration {
    let seconds = rate.map_or(0.0, |rate| f64::from(number) / f64::from(rate));
    Duration::from_secs_f64(seconds)
}
