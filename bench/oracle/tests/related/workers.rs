//! Errors that another worker receives than the one that owns the connection.

use crate::common::icmp::{addr, icmp, one, told};
use crate::common::{nic, service, snapshot};
use crate::support::{VIP, about_tunnel};
use pvs_dataplane::engine::EngineConfig;
use pvs_dataplane::steering::Steering;
use pvs_oracle::frames::{from_client, from_server, udp};
use pvs_oracle::scenario::at;
use pvs_oracle::{Director, Side};
use pvs_sched::{Method, Transport};

#[test]
fn an_error_reaches_the_worker_that_owns_the_connection() {
    const WORKERS: u16 = 4;
    for (steering, method) in [
        (Steering::ring(WORKERS), Method::Masquerade),
        (nic(WORKERS), Method::Masquerade),
        (Steering::ring(WORKERS), Method::Tunnel),
        (nic(WORKERS), Method::Tunnel),
    ] {
        let config = EngineConfig::default();
        let queues = WORKERS.into();
        let mut d = Director::several(config, &[], 4096, steering, queues).unwrap();
        let servers = [("192.168.1.1:53", method)];
        d.configure(snapshot(1, Some(service(Transport::Udp, VIP, &servers))));
        let mut handed = 0;
        for n in 0..64u16 {
            let client = at(&format!("10.9.0.{}:{}", 1 + n % 9, 4000 + n));
            let request = udp(client, at(VIP), b"question");
            let out = d.send_by(Side::Client, 0, &from_client(&request)).unwrap();
            one(&d, Side::Server, out);
            // By any queue: who receives it knows nothing of the connection.
            let queue = usize::from(n) % queues;
            let before = d.handles().iter().map(|h| h.stats.totals().handed_over);
            let before: u64 = before.sum();
            let error = match method {
                Method::Tunnel => about_tunnel((3, 1), 0, &request),
                _ => {
                    let seen = udp(client, at("192.168.1.1:53"), b"question");
                    from_server(7, &icmp(addr("192.168.1.7"), client.ip(), (3, 1), 0, &seen))
                }
            };
            let out = d.send_by(Side::Server, queue, &error).unwrap();
            let told = told(&one(&d, Side::Client, out));
            assert_eq!((told.from, told.to), (at(VIP).ip(), client.ip()));
            let after = d.handles().iter().map(|h| h.stats.totals().handed_over);
            let hops = after.sum::<u64>() - before;
            assert!(hops <= 1, "{hops} workers passed it on");
            handed += hops;
            let error = icmp(
                client.ip(),
                at(VIP).ip(),
                (3, 3),
                0,
                &udp(at(VIP), client, b"a"),
            );
            let out = d
                .send_by(Side::Client, queue, &from_client(&error))
                .unwrap();
            one(&d, Side::Server, out);
        }
        assert!(handed > 20, "{handed}");
        assert_eq!(d.losses(), []);
        assert_eq!(d.punted(), []);
    }
}

/// Under `rxq` no hash tells whose connection it is: each worker is asked.
#[test]
fn under_rxq_an_error_goes_round_until_somebody_knows_its_connection() {
    const WORKERS: u16 = 4;
    for method in [Method::Route, Method::Tunnel] {
        let (config, queues) = (EngineConfig::default(), usize::from(WORKERS));
        let steering = Steering::rxq(WORKERS);
        let mut d = Director::several(config, &[], 4096, steering, queues).unwrap();
        let servers = [("192.168.1.1:53", method)];
        d.configure(snapshot(1, Some(service(Transport::Udp, VIP, &servers))));
        let free = d.free_buffers();
        let mut longest = 0;
        for n in 0..64u16 {
            let client = at(&format!("10.9.0.{}:{}", 1 + n % 9, 4000 + n));
            let request = udp(client, at(VIP), b"question");
            let own = usize::from(n / 8) % queues;
            let frame = from_client(&request);
            let out = by_queue(&mut d, Side::Client, own, &frame);
            one(&d, Side::Server, out);
            let before = handed(&d);
            let by = usize::from(n) % queues;
            let seen = udp(at(VIP), client, b"answer");
            let error = icmp(addr("10.9.0.200"), at(VIP).ip(), (3, 4), 1400, &seen);
            let out = by_queue(&mut d, Side::Client, by, &from_client(&error));
            one(&d, Side::Server, out);
            if method == Method::Tunnel {
                let error = about_tunnel((3, 1), 0, &request);
                let out = by_queue(&mut d, Side::Server, by, &error);
                let told = told(&one(&d, Side::Client, out));
                assert_eq!((told.from, told.to), (at(VIP).ip(), client.ip()));
            }
            longest = longest.max(handed(&d) - before);
        }
        assert!(longest >= 3, "{longest}");
        assert_eq!((d.losses(), d.punted()), (vec![], vec![]));
        // One about no connection is Linux's once all were asked.
        let before = handed(&d);
        let seen = udp(at(VIP), at("10.9.0.99:99"), b"answer");
        let error = icmp(addr("10.9.0.200"), at(VIP).ip(), (3, 4), 1400, &seen);
        let frame = from_client(&error);
        assert_eq!(by_queue(&mut d, Side::Client, 2, &frame), []);
        assert_eq!(handed(&d) - before, 3);
        let punted = d.punted();
        assert_eq!((punted.len(), &punted[0].2), (1, &frame));
        assert_eq!(d.free_buffers(), free);
    }
}

fn by_queue(d: &mut Director, side: Side, queue: usize, frame: &[u8]) -> Vec<(Side, Vec<u8>)> {
    d.send_by(side, queue, frame).unwrap()
}

/// Frames that workers gave to others.
fn handed(d: &Director) -> u64 {
    let totals = d.handles().iter().map(|handle| handle.stats.totals());
    totals.map(|totals| totals.handed_over).sum()
}
