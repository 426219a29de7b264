use super::{Mode, Steering, Toeplitz};
use pvs_proto::{Addr4, Endpoint, Fragment, Meta, Protocol, V4};

const VIP: [u8; 4] = [10, 0, 0, 100];

fn at(addr: [u8; 4], port: u16) -> Endpoint<Addr4> {
    Endpoint {
        addr: Addr4::from_wire(addr),
        port,
    }
}

fn meta(src: Endpoint<Addr4>, dst: Endpoint<Addr4>) -> Meta<V4> {
    Meta {
        src,
        dst,
        ip_len: 40,
        fragment_id: 0,
        l3: 14,
        l4: 34,
        protocol: Protocol::TCP,
        signal: 0,
        ttl: 64,
        fragment: Fragment::None,
        dont_fragment: true,
    }
}

fn both_modes(workers: u16) -> [Steering; 2] {
    let key: Vec<u8> = (0..40u8).map(|n| n.wrapping_mul(37) ^ 0x5c).collect();
    let queues = (0..128).map(|n| n % workers).collect();
    let hash = Toeplitz::new(&key, queues).unwrap();
    [Steering::ring(workers), Steering::nic(workers, hash)]
}

#[test]
fn both_directions_of_a_connection_have_one_owner_and_all_workers_get_some() {
    let is_local = |a: Addr4| a == Addr4::from_wire(VIP);
    for steering in both_modes(4) {
        let mut owned = [0; 4];
        for port in 1024..5120 {
            let client = at([10, 9, 0, 1], port);
            let request = steering.owner_of(&meta(client, at(VIP, 80)), is_local);
            let reply = steering.owner_of(&meta(at([192, 168, 1, 1], 80), client), is_local);
            assert_eq!(request, reply);
            assert_eq!(request, steering.owner(client));
            owned[usize::from(request.unwrap().0)] += 1;
        }
        assert!(owned.iter().all(|n| *n > 800), "{owned:?}");
    }
}

#[test]
fn whoever_receives_it_owns_it_where_there_is_nobody_else_or_the_queue_says_so() {
    let client = at([10, 9, 0, 1], 4001);
    for steering in [
        Steering::ALONE,
        Steering::rxq(4),
        Steering::ring(1),
        Steering::rxq(1),
    ] {
        assert_eq!(steering.owner(client), None);
        assert_eq!(
            steering.owner_of(&meta(client, at(VIP, 80)), |_| unreachable!()),
            None
        );
    }
    assert_eq!(Steering::rxq(1).mode(), Mode::Alone);
    assert_eq!(Steering::rxq(2).mode(), Mode::Rxq);
}

/// A table that names a queue without a worker steers nobody into nothing.
#[test]
fn a_queue_without_a_worker_owns_nothing() {
    let hash = Toeplitz::new(&[0x5a; 40], vec![7]).unwrap();
    assert_eq!(Steering::nic(2, hash).owner(at([10, 9, 0, 1], 4001)), None);
}
