//! The table against a BTreeMap model, and its policies one by one.

use super::*;
use proptest::prelude::*;
use pvs_proto::state::TcpState;
use pvs_proto::{Addr4, V4, V6};
use pvs_sched::{Method, ServerIndex, ServiceIndex};
use std::collections::{BTreeMap, HashSet};

fn table(connections: u32) -> Table<V4> {
    Table::new(connections, HashKeys::seeded(1), Backing::Ordinary).unwrap()
}

fn request(client: u32) -> Tuple<V4> {
    Tuple {
        protocol: Protocol::TCP,
        src: Endpoint {
            addr: Addr4(0x0a09_0000 + (client >> 10)),
            port: 1024 + (client & 1023) as u16,
        },
        dst: Endpoint {
            addr: Addr4(0x0a00_0064),
            port: 80,
        },
    }
}

fn connection(client: u32, method: Method, secs: u32) -> Entry<V4> {
    let server = Endpoint {
        addr: Addr4(0xc0a8_0101),
        port: 8080,
    };
    Entry::new(
        &request(client),
        server,
        method,
        ServerIndex(1),
        ServiceIndex(2),
        Ticks::from_secs(secs),
    )
}

#[test]
fn the_layout_is_what_the_documents_say() {
    macro_rules! row {
        ($($field:ident),*) => { vec![$((stringify!($field), core::mem::offset_of!(Entry<V4>, $field),
            core::mem::offset_of!(Entry<V6>, $field))),*] };
    }
    let rows = row!(
        client,
        virtual_,
        server,
        client_port,
        virtual_port,
        server_port,
        protocol,
        state,
        flags,
        reserved,
        server_index,
        service_index,
        template,
        timeout,
        deadline,
        packets,
        hop,
        hop_version,
        wheel_prev,
        wheel_next
    );
    println!("{:18} IPv4 IPv6", "field");
    for (name, v4, v6) in &rows {
        println!("{name:18} {v4:4} {v6:4}");
    }
    let v4: Vec<_> = rows.iter().map(|r| r.1).collect();
    assert_eq!(
        v4,
        [
            0, 4, 8, 12, 14, 16, 18, 19, 20, 22, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60
        ]
    );
    assert_eq!((size_of::<Entry<V4>>(), align_of::<Entry<V4>>()), (64, 64));
    assert_eq!((size_of::<Entry<V6>>(), align_of::<Entry<V6>>()), (128, 64));
}

#[test]
fn a_nat_connection_is_found_by_both_its_tuples_and_a_dr_one_by_one() {
    let mut t = table(100);
    let now = Ticks(1000);
    let nat = t
        .insert(connection(1, Method::Masquerade, 60), now)
        .unwrap();
    let dr = t.insert(connection(2, Method::Route, 60), now).unwrap();
    assert_eq!(t.lookup(&request(1)), Some((nat, Direction::Request)));
    assert_eq!(
        t.lookup(&connection(1, Method::Masquerade, 0).tuple(Direction::Reply)),
        Some((nat, Direction::Reply))
    );
    assert_eq!(t.lookup(&request(2)), Some((dr, Direction::Request)));
    assert_eq!(
        t.lookup(&connection(2, Method::Route, 0).tuple(Direction::Reply)),
        None
    );
    t.remove(nat).unwrap();
    assert_eq!(t.lookup(&request(1)), None);
    assert_eq!(
        t.lookup(&connection(1, Method::Masquerade, 0).tuple(Direction::Reply)),
        None
    );
    assert_eq!(t.len(), 1);
}

#[test]
fn two_connections_whose_replies_would_be_alike_are_refused() {
    let mut t = table(100);
    let now = Ticks(0);
    t.insert(connection(1, Method::Masquerade, 60), now)
        .unwrap();
    let mut other = connection(1, Method::Masquerade, 60);
    other.virtual_ = Addr4(0x0a00_0065);
    assert_eq!(t.insert(other, now), Err(Refused::Collision));
    assert_eq!(t.len(), 1);
    other.flags = Flags::of_method(Method::Route);
    assert!(
        t.insert(other, now).is_ok(),
        "without translation there is no reply to be mistaken"
    );
}

#[test]
fn a_full_table_refuses_and_never_grows() {
    let mut t = table(64);
    for client in 0..64 {
        t.insert(connection(client, Method::Masquerade, 60), Ticks(0))
            .unwrap();
    }
    assert_eq!(
        t.insert(connection(64, Method::Masquerade, 60), Ticks(0)),
        Err(Refused::Full)
    );
    assert_eq!((t.len(), t.capacity()), (64, 64));
}

#[test]
fn a_table_can_be_filled_to_the_last_entry_with_translated_connections() {
    let mut t = table(100_000);
    for client in 0..100_000 {
        t.insert(connection(client, Method::Masquerade, 60), Ticks(0))
            .unwrap();
    }
    for client in 0..100_000 {
        assert!(t.lookup(&request(client)).is_some(), "{client}");
    }
}

#[test]
fn entries_expire_in_time_and_in_bounded_steps() {
    let mut t = table(1000);
    let start = Ticks(u32::MAX - 5000);
    for client in 0..1000 {
        t.insert(connection(client, Method::Route, 1 + client % 900), start)
            .unwrap();
    }
    let mut left = 1000;
    for second in 0..=901u32 {
        let now = start.after(Ticks(second * 250 + 20));
        loop {
            let mut budget = EXPIRE_BUDGET;
            let mut any = false;
            while let Some(entry) = t.expire(now, &mut budget) {
                assert!(entry.deadline.is_due(now), "never early");
                any = true;
                left -= 1;
            }
            if !any && budget > 0 {
                break;
            }
        }
        let due = (0..1000).filter(|c| c % 900 < second).count();
        assert_eq!(1000 - left, due, "after {second} s and 80 ms");
    }
    assert!(t.is_empty());
}

#[test]
fn a_packet_puts_expiry_off_and_a_shorter_timeout_brings_it_forward() {
    let mut t = table(10);
    let idle = |t: &mut Table<V4>, now| {
        for _ in 0..2000 {
            if let Some(e) = t.expire(now, &mut 32) {
                return Some(e);
            }
        }
        None
    };
    let at = t
        .insert(connection(1, Method::Route, 60), Ticks(0))
        .unwrap();
    t.get_mut(at).unwrap().deadline = Ticks::from_secs(100);
    assert!(idle(&mut t, Ticks::from_secs(99)).is_none());
    let entry = t.get_mut(at).unwrap();
    entry.timeout = Ticks::from_secs(5);
    entry.deadline = Ticks::from_secs(99 + 5);
    t.reschedule(at, Ticks::from_secs(99));
    assert!(idle(&mut t, Ticks::from_secs(103)).is_none());
    assert!(idle(&mut t, Ticks::from_secs(105)).is_some());
}

/// `--set 3600`: connections with a deadline beyond a turn of the wheel, which packets put off.
#[test]
fn a_long_timeout_holds_up_nobody() {
    let mut t = table(4096);
    let mut now = Ticks::from_secs(5);
    for client in 0..200 {
        let mut entry = connection(client, Method::Route, 60);
        let at = t.insert(entry, now).unwrap();
        // The handshake's timeout has its place; the connection's own comes with the next packet.
        entry.timeout = Ticks::from_secs(3600 + client);
        let long = t.get_mut(at).unwrap();
        long.timeout = entry.timeout;
        long.deadline = now.after(entry.timeout);
    }
    let mut ended = 0;
    for second in 1..=4000 {
        let client = 1000 + second;
        t.insert(connection(client, Method::Route, 2), now).unwrap();
        now = now.after(Ticks::from_secs(1));
        // Enough turns of a worker for a second.
        for _ in 0..64 {
            let mut budget = EXPIRE_BUDGET;
            while let Some(entry) = t.expire(now, &mut budget) {
                ended += 1;
                let due = entry.deadline.left(now).0 == 0;
                assert!(due, "{second}");
            }
        }
        let long = 200u32.saturating_sub(second.saturating_sub(3600));
        assert!(t.len() <= long + 4, "{second}: {}", t.len());
    }
    assert_eq!(ended + t.len(), 4200);
}

#[test]
fn a_full_table_evicts_in_the_stated_order() {
    let mut t = table(4);
    let now = Ticks::from_secs(1000);
    let put = |t: &mut Table<V4>, client, change: &dyn Fn(&mut Entry<V4>)| {
        let mut e = connection(client, Method::Route, 900);
        e.state = TcpState::Established as u8;
        e.packets = 100;
        change(&mut e);
        t.insert(e, now).unwrap()
    };
    put(&mut t, 1, &|e| e.packets = 2);
    put(&mut t, 2, &|e| e.state = TcpState::TimeWait as u8);
    put(&mut t, 3, &|e| {
        e.protocol = Protocol::UDP.0;
        e.packets = 1;
    });
    put(&mut t, 4, &|e| e.state = TcpState::SynRecv as u8);
    let later = now.after(Ticks::from_secs(61));
    let order: Vec<_> = core::iter::from_fn(|| t.evict(later).map(|e| e.0)).collect();
    assert_eq!(
        order,
        [
            EvictClass::Embryonic,
            EvictClass::OnePacketUdp,
            EvictClass::Closing,
            EvictClass::Idle
        ]
    );
    put(&mut t, 5, &|_| {});
    assert!(
        t.evict(later).is_none(),
        "a connection that carries data stays"
    );
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u32, bool),
    Remove(u32),
    Find(u32),
}

fn op() -> impl Strategy<Value = Op> {
    let client = 0u32..300;
    prop_oneof![
        (client.clone(), any::<bool>()).prop_map(|(c, nat)| Op::Insert(c, nat)),
        client.clone().prop_map(Op::Remove),
        client.prop_map(Op::Find),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn behaves_as_a_map(ops in prop::collection::vec(op(), 1..600)) {
        let mut t = table(128);
        let mut model = BTreeMap::new();
        for op in ops {
            match op {
                Op::Insert(client, nat) => {
                    let method = if nat { Method::Masquerade } else { Method::Route };
                    let expected = if model.contains_key(&client) {
                        Some(Refused::Collision)
                    } else if model.len() == 128 {
                        Some(Refused::Full)
                    } else {
                        None
                    };
                    let got = t.insert(connection(client, method, 60), Ticks(0));
                    prop_assert_eq!(got.err(), expected);
                    if let Ok(at) = got {
                        model.insert(client, (at, nat));
                    }
                }
                Op::Remove(client) => {
                    if let Some((at, _)) = model.remove(&client) {
                        prop_assert!(t.remove(at).is_some());
                    }
                }
                Op::Find(client) => {
                    let tuple = request(client);
                    let hash = t.hash(&tuple);
                    let found = t.find(hash, t.candidate(hash), &tuple).map(|f| f.0);
                    prop_assert_eq!(found, model.get(&client).map(|m| m.0));
                    let reply = connection(client, Method::Masquerade, 0).tuple(Direction::Reply);
                    let nat = model.get(&client).filter(|m| m.1).map(|m| m.0);
                    prop_assert_eq!(t.lookup(&reply).map(|f| f.0), nat);
                }
            }
            prop_assert_eq!(t.len() as usize, model.len());
        }
        let listed: HashSet<u32> = t.scan(0, t.extent()).map(|(at, _)| at).collect();
        let expected: HashSet<u32> = model.values().map(|m| m.0.0).collect();
        prop_assert_eq!(listed, expected);
    }
}
