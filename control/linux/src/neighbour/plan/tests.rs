//! The plan of wanted neighbours, on a clock of the test's own.

use super::*;
use crate::mirror::tests::{TAP0, add, mirror, neighbour, oif, see, unicast, via};
use netlink_packet_route::neighbour::NeighbourState;
use netlink_packet_route::route::{RouteAttribute, RouteNextHop};

fn hop(address: &str) -> NextHop {
    NextHop {
        ifindex: TAP0,
        address: address.parse().unwrap(),
    }
}

/// 10.0.0.0/24 on the link, all else by 10.0.0.254.
fn lab() -> (Mirror, Plan, Instant) {
    let mut mirror = mirror();
    add(&mut mirror, unicast("10.0.0.0/24", &[oif(TAP0)]));
    let default = unicast("0.0.0.0/0", &[oif(TAP0), via("10.0.0.254")]);
    add(&mut mirror, default);
    (mirror, Plan::default(), Instant::now())
}

fn know(mirror: &mut Mirror, address: &str, state: NeighbourState) {
    see(mirror, neighbour(TAP0, address, state, Some(7)));
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn a_gateway_is_asked_for_once_whatever_is_behind_it() {
    let (mut mirror, mut plan, start) = lab();
    plan.servers = ["192.0.2.1", "192.0.2.2", "198.51.100.1"]
        .map(|a| a.parse().unwrap())
        .into();
    let gateway = Action::Manage(hop("10.0.0.254"));
    assert_eq!(plan.tick(&mirror, start), [gateway]);
    assert_eq!(plan.tick(&mirror, start), [], "just asked");
    know(&mut mirror, "10.0.0.254", NeighbourState::Reachable);
    assert_eq!(plan.tick(&mirror, start + secs(24)), []);
    assert_eq!(plan.tick(&mirror, start + secs(25)), [gateway], "refreshed");
    plan.servers.clear();
    let release = Action::Release(hop("10.0.0.254"));
    assert_eq!(plan.tick(&mirror, start + secs(26)), [release]);
    assert_eq!(plan.tick(&mirror, start + secs(60)), []);
}

#[test]
fn one_that_the_kernel_gave_up_is_asked_for_again_after_a_second() {
    let (mut mirror, mut plan, start) = lab();
    plan.servers.insert("10.0.0.7".parse().unwrap());
    let server = Action::Manage(hop("10.0.0.7"));
    assert_eq!(plan.tick(&mirror, start), [server]);
    know(&mut mirror, "10.0.0.7", NeighbourState::Incomplete);
    assert_eq!(
        plan.tick(&mirror, start + secs(3)),
        [],
        "the kernel is at it"
    );
    know(&mut mirror, "10.0.0.7", NeighbourState::Failed);
    assert_eq!(plan.tick(&mirror, start + secs(4)), [server]);
    assert_eq!(plan.tick(&mirror, start + secs(4)), []);
    assert_eq!(plan.tick(&mirror, start + secs(5)), [server]);
}

#[test]
fn those_that_are_resolved_are_looked_after_each_in_its_turn() {
    let (mut mirror, mut plan, start) = lab();
    let many = (0..REMINDERS_MAX + 10).map(|n| format!("10.0.{}.{}", n / 250, n % 250));
    plan.servers = many.clone().map(|a| a.parse().unwrap()).collect();
    plan.servers.insert("10.0.3.1".parse().unwrap());
    add(&mut mirror, unicast("10.0.0.0/16", &[oif(TAP0)]));
    for address in many {
        know(&mut mirror, &address, NeighbourState::Stale);
    }
    assert_eq!(plan.tick(&mirror, start).len(), REMINDERS_MAX + 11);
    assert_eq!(
        plan.look_after(&mirror, start + LOOK_AFTER / 2),
        [],
        "just asked"
    );
    let mut reminded = BTreeSet::new();
    for (turn, count) in [(1, REMINDERS_MAX), (2, REMINDERS_MAX)] {
        let actions = plan.look_after(&mirror, start + LOOK_AFTER * turn);
        assert_eq!(actions.len(), count);
        reminded.extend(actions.into_iter().map(|action| match action {
            Action::Manage(hop) => hop,
            other => panic!("{other:?}"),
        }));
    }
    assert_eq!(
        reminded.len(),
        REMINDERS_MAX + 10,
        "not the one that is unknown"
    );
}

#[test]
fn a_permanent_neighbour_is_never_touched() {
    let (mut mirror, mut plan, start) = lab();
    know(&mut mirror, "10.0.0.7", NeighbourState::Permanent);
    plan.servers.insert("10.0.0.7".parse().unwrap());
    assert_eq!(plan.tick(&mirror, start), []);
    plan.servers.clear();
    assert_eq!(plan.tick(&mirror, start + secs(30)), []);
}

#[test]
fn a_worker_s_neighbour_is_kept_while_it_is_asked_for() {
    let (mut mirror, mut plan, start) = lab();
    let client = hop("10.0.0.9");
    assert_eq!(
        plan.request(&mirror, client, start),
        [Action::Manage(client)]
    );
    assert_eq!(plan.request(&mirror, client, start), [], "just asked");
    know(&mut mirror, "10.0.0.9", NeighbourState::Stale);
    assert_eq!(
        plan.request(&mirror, client, start + secs(200)),
        [Action::Manage(client)]
    );
    assert_eq!(
        plan.tick(&mirror, start + secs(499)),
        [Action::Manage(client)]
    );
    assert_eq!(
        plan.tick(&mirror, start + secs(500)),
        [Action::Release(client)]
    );
    assert_eq!(plan.on_demand(), 0);
}

#[test]
fn a_scan_finds_an_end_and_servers_keep_their_place() {
    let (mirror, mut plan, start) = lab();
    plan.servers.insert("10.0.0.7".parse().unwrap());
    let mut asked = 0;
    for n in 0..2000u32 {
        let address = std::net::Ipv4Addr::from_bits(0x0a01_0000 + n).into();
        let scanned = NextHop {
            ifindex: TAP0,
            address,
        };
        asked += usize::from(!plan.request(&mirror, scanned, start).is_empty());
    }
    assert_eq!(
        (asked, plan.refused),
        (ON_DEMAND_MAX, 2000 - ON_DEMAND_MAX as u64)
    );
    assert_eq!(plan.tick(&mirror, start), [Action::Manage(hop("10.0.0.7"))]);
    // Nobody answers: the room is free again soon.
    assert_eq!(
        plan.tick(&mirror, start + KEEP_UNRESOLVED).len(),
        ON_DEMAND_MAX + 1
    );
    assert_eq!((plan.on_demand(), plan.wanted.len()), (0, 1));
}

#[test]
fn who_does_not_answer_gives_way_after_a_second() {
    let (mut mirror, mut plan, start) = lab();
    let nobody = |n: u32| NextHop {
        ifindex: TAP0,
        address: std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into(),
    };
    let count = ON_DEMAND_MAX as u32;
    for n in 0..count {
        plan.request(&mirror, nobody(n), start);
    }
    know(&mut mirror, "10.0.0.0", NeighbourState::Reachable);
    let new = nobody(count);
    let early = start + TIME_TO_ANSWER / 2;
    assert_eq!(plan.request(&mirror, new, early), []);
    let now = start + TIME_TO_ANSWER;
    let expected = [Action::Forget(nobody(1)), Action::Manage(new)];
    assert_eq!(
        plan.request(&mirror, new, now),
        expected,
        "the first one answers"
    );
    assert_eq!(
        plan.request(&mirror, nobody(count + 1), now),
        [],
        "one in a while"
    );
    assert_eq!(plan.on_demand(), ON_DEMAND_MAX);
}

#[test]
fn the_oldest_gives_way_and_neither_a_gateway_nor_a_fixed_one_does() {
    let (mut mirror, mut plan, start) = lab();
    let nobody = |n: u32| NextHop {
        ifindex: TAP0,
        address: std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into(),
    };
    // Those with the highest addresses were asked for first.
    for n in (300..300 + ON_DEMAND_MAX as u32).rev() {
        let at = start + Duration::from_millis(u64::from(1000 - n));
        plan.request(&mirror, nobody(n), at);
    }
    let gateway = hop("10.0.0.254");
    plan.tick(&mirror, start + secs(2));
    assert_eq!(
        plan.request(&mirror, gateway, start + secs(2)),
        [Action::Manage(gateway)],
        "there is a place for it"
    );
    plan.tick(&mirror, start + secs(3));
    let last = 299 + ON_DEMAND_MAX as u32;
    know(
        &mut mirror,
        &nobody(last).address.to_string(),
        NeighbourState::Permanent,
    );
    let now = start + secs(4);
    for (new, oldest) in [(2, last - 1), (3, last - 2)] {
        let at = now + SEARCH_PAUSE * new;
        assert_eq!(
            plan.request(&mirror, nobody(new), at),
            [Action::Forget(nobody(oldest)), Action::Manage(nobody(new))]
        );
    }
    assert!(plan.wanted.contains_key(&gateway));
}

#[test]
fn a_gateway_that_a_worker_asked_for_is_kept_while_a_route_leads_to_it() {
    let (mut mirror, mut plan, start) = lab();
    let gateway = hop("10.0.0.254");
    assert_eq!(
        plan.request(&mirror, gateway, start),
        [Action::Manage(gateway)]
    );
    know(&mut mirror, "10.0.0.254", NeighbourState::Reachable);
    for n in 1..=40 {
        let refreshed = plan.tick(&mirror, start + REFRESH * n);
        assert_eq!(refreshed, [Action::Manage(gateway)], "after {n} periods");
    }
    let mut mirror = crate::mirror::tests::mirror();
    add(&mut mirror, unicast("10.0.0.0/24", &[oif(TAP0)]));
    know(&mut mirror, "10.0.0.254", NeighbourState::Reachable);
    assert_eq!(
        plan.tick(&mirror, start + REFRESH * 41),
        [Action::Release(gateway)]
    );
}

#[test]
fn with_one_gateway_of_a_route_the_others_are_kept_even_if_they_do_not_answer() {
    let (mut mirror, mut plan, start) = lab();
    let legs = ["10.0.0.1", "10.0.0.2"].map(|gateway| {
        let mut leg = RouteNextHop::default();
        leg.interface_index = TAP0;
        leg.attributes = vec![via(gateway)];
        leg
    });
    let several = RouteAttribute::MultiPath(legs.to_vec());
    add(&mut mirror, unicast("192.0.2.0/24", &[several]));
    let [one, two] = ["10.0.0.1", "10.0.0.2"].map(|a| Action::Manage(hop(a)));
    // A server's next hops are both.
    plan.servers.insert("192.0.2.7".parse().unwrap());
    assert_eq!(plan.tick(&mirror, start), [one, two]);
    plan.servers.clear();
    plan.wanted.clear();
    // A worker asks for the one that it takes.
    assert_eq!(plan.request(&mirror, hop("10.0.0.1"), start), [one]);
    assert_eq!(plan.tick(&mirror, start), [two]);
    know(&mut mirror, "10.0.0.1", NeighbourState::Reachable);
    know(&mut mirror, "10.0.0.2", NeighbourState::Failed);
    assert_eq!(plan.tick(&mirror, start + secs(20)), [two], "tried again");
    // The other way round, long after the request.
    know(&mut mirror, "10.0.0.1", NeighbourState::Failed);
    know(&mut mirror, "10.0.0.2", NeighbourState::Reachable);
    assert_eq!(plan.tick(&mirror, start + secs(400)), [one, two]);
    assert_eq!(plan.tick(&mirror, start + secs(402)), [one]);
}
