//! The shipped engine as a benchmark runs it: one service, its servers' next
//! hops, all flows established.

use super::flows::{self, Flows};
use super::port::{BenchPort, Tally};
use super::{Args, Mode};
use anyhow::{Context, Result, ensure};
use pvs_dataplane::engine::{Engine, EngineConfig};
use pvs_dataplane::fib::{Fib, FibBuilder, Interface, Neighbour, OwnAddress, PortIndex, Target};
use pvs_dataplane::port::BURST;
use pvs_dataplane::slab::Backing;
use pvs_dataplane::stats::WorkerStats;
use pvs_dataplane::steering::{Steering, WorkerIndex};
use pvs_dataplane::table::HashKeys;
use pvs_dataplane::worker::{Clock, MonotonicClock, Worker};
use pvs_proto::{Addr4, V4, VlanId};
use pvs_sched::{
    Method, SchedulerName, ServerConfig, ServerIndex, ServerKey, Service, ServiceConfig,
    ServiceIndex, ServiceKey, Snapshot,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A worker with its port, and what others see of both.
pub struct Subject {
    worker: Worker<BenchPort>,
    packets: u64,
    stats: Arc<WorkerStats>,
    seen: Arc<Tally>,
    order: Arc<AtomicBool>,
    backing: Backing,
}

impl Subject {
    /// The workers of one engine, each with a port that brings its own flows. They share a
    /// configuration, forwarding information and the way to Linux, as in pvsd. Each is made by a
    /// thread that calls `settle`.
    pub fn crew(
        args: &Args,
        steering: Steering,
        flows: Vec<Flows>,
        settle: impl Fn(WorkerIndex) + Sync,
    ) -> Result<Vec<Self>> {
        let workers = u32::from(steering.workers());
        let backing = args.backing();
        let config = EngineConfig {
            connections_v4: args.flows.saturating_add(1024).saturating_mul(workers),
            connections_v6: 1024,
            servers: 64,
            templates: 512,
            backing,
            keys: HashKeys::random(),
            rehearse_failure: false,
        };
        let port = |flows| BenchPort::new(flows, args.depth as usize, args.verify);
        let ports: Vec<BenchPort> = flows.into_iter().map(port).collect();
        let ends: Vec<_> = ports
            .iter()
            .map(|port| (port.tally(), port.order()))
            .collect();
        let mut engine = Engine::new_by(&config, steering, vec![ports], settle)?;
        engine.snapshots.publish(snapshot(args.mode));
        engine.fibs.publish(fib());
        let parts = engine.workers.into_iter().zip(engine.handles).zip(ends);
        let crew = parts.map(|((worker, handle), (seen, order))| Self {
            backing: worker.backing(),
            worker,
            packets: 0,
            stats: handle.stats,
            seen,
            order,
        });
        Ok(crew.collect())
    }

    /// One worker, with its flows established.
    pub fn alone(args: &Args) -> Result<Self> {
        let flows = vec![Flows::new(args.mode, args.flows)];
        let mut crew = Self::crew(args, Steering::ALONE, flows, |_| ())?;
        let mut subject = crew.pop().context("an engine has a worker")?;
        subject.establish(args)?;
        Ok(subject)
    }

    /// Every flow once, in order, and a round more for what is under way; from then on at random.
    pub fn establish(&mut self, args: &Args) -> Result<()> {
        let rounds = u64::from(args.flows) + 2 * u64::from(args.depth);
        self.turn(
            u32::try_from(rounds.div_ceil(BURST as u64))?,
            &MonotonicClock,
        );
        let connections = u64::from(args.flows);
        ensure!(
            self.stats.totals().connections == connections,
            "not all flows are established"
        );
        self.order.store(true, Relaxed);
        self.turn(args.depth.div_ceil(BURST as u32), &MonotonicClock);
        Ok(())
    }

    /// Its tables are on huge pages.
    pub fn huge_pages(&self) -> bool {
        self.backing == Backing::Huge
    }

    /// So many turns of the loop.
    pub fn turn(&mut self, bursts: u32, clock: &MonotonicClock) {
        for _ in 0..bursts {
            self.packets += self.worker.poll(clock.nanos()) as u64;
        }
    }

    /// Nothing was lost, and with verification nothing was wrong.
    pub fn check(&self, args: &Args) -> Result<()> {
        let lost: Vec<_> = self
            .stats
            .losses()
            .map(|(l, n)| format!("{} {n}", l.label()))
            .collect();
        ensure!(lost.is_empty(), "packets were lost: {}", lost.join(", "));
        let strangers = self.stats.totals().handed_over;
        ensure!(strangers == 0, "{strangers} packets were another worker's");
        let sent = self.seen.sent();
        ensure!(
            sent == self.packets,
            "{} packets in, {sent} out",
            self.packets
        );
        ensure!(
            self.seen.wrong() == 0,
            "{} packets came out wrong",
            self.seen.wrong()
        );
        if args.verify && !args.json {
            println!("verified: {sent} packets came out right");
        }
        Ok(())
    }
}

fn snapshot(mode: Mode) -> Snapshot {
    let key = ServiceKey::Address {
        protocol: mode.transport(),
        address: flows::VIP.addr.into(),
        port: flows::VIP.port,
    };
    let config = ServiceConfig::plain(key, SchedulerName::Rr);
    let mut service = Service::new(ServiceIndex(0), config, true);
    for n in 1..=flows::SERVERS {
        let port = match mode.method() {
            Method::Masquerade => flows::SERVER_PORT,
            _ => flows::VIP.port,
        };
        let server = ServerConfig::plain(
            ServerKey {
                address: flows::server(n).into(),
                port,
            },
            mode.method(),
            1,
        );
        service = service.with_server(ServerIndex(n.into()), server);
    }
    let mut snapshot = Snapshot::default();
    snapshot.put(service);
    snapshot.settle();
    snapshot
}

fn fib() -> Fib {
    let mut b = FibBuilder::new();
    let wire = b.interface(Interface {
        port: PortIndex(0),
        vlan: VlanId::NONE,
        mac: flows::DIRECTOR_MAC,
        other_macs: vec![],
        mtu: 1500,
    });
    b.route::<V4>(Addr4(0), 0, Target::OnLink(wire));
    b.route::<V4>(flows::VIP.addr, 32, Target::Local);
    b.own_address::<V4>(OwnAddress::plain(wire, flows::DIRECTOR, 24));
    for n in 1..=flows::SERVERS {
        b.neighbour::<V4>(
            wire,
            flows::server(n),
            Neighbour::Resolved(flows::server_mac(n)),
        );
    }
    b.build(1)
}
