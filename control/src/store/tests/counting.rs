//! Cells, statistics and rates.

use super::*;
use crate::command::Tuning;

#[test]
fn zero_is_an_offset_and_keeps_other_services() {
    let mut bench = Bench::new();
    bench.done(&Command::AddService(request(service(7))));
    bench.add(VIP, 1);
    bench.add(service(7), 1);
    bench.cells.count(0, 10);
    bench.cells.count(1, 6);
    bench.done(&Command::Zero(Some(VIP)));
    bench.cells.count(0, 13);
    assert_eq!(bench.packets(VIP), (3, vec![3]));
    assert_eq!(bench.packets(service(7)), (6, vec![6]));
    bench.done(&Command::Zero(None));
    assert_eq!(bench.packets(service(7)), (0, vec![0]));
}

#[test]
fn a_service_keeps_what_removed_servers_had_counted() {
    let mut bench = Bench::new();
    bench.add(VIP, 1);
    bench.add(VIP, 2);
    bench.cells.count(0, 10);
    bench.cells.count(1, 5);
    bench.delete(VIP, 1);
    assert_eq!(bench.packets(VIP), (15, vec![5]));
    // What a removed server still counts is not the service's.
    bench.cells.count(0, 12);
    assert_eq!(bench.packets(VIP), (15, vec![5]));
    bench.add(VIP, 1);
    bench.cells.count(0, 13);
    assert_eq!(bench.packets(VIP), (16, vec![13, 5]));
}

#[test]
fn a_server_that_comes_back_takes_its_cell_back() {
    let mut bench = Bench::new();
    bench.add(VIP, 1);
    bench.cells.hold(0, 3);
    bench.cells.count(0, 10);
    bench.delete(VIP, 1);
    bench.add(VIP, 2);
    assert_eq!(
        bench.cell(&VIP, 2),
        1,
        "a cell with connections is not given away"
    );
    bench.add(VIP, 1);
    assert_eq!(bench.cell(&VIP, 1), 0);
    assert_eq!(bench.view(VIP).servers[0].active, 3);
    // The service itself deleted and added again: connections stay, statistics begin anew.
    bench.done(&Command::DeleteService(VIP));
    bench.done(&Command::AddService(request(VIP)));
    bench.add(VIP, 1);
    assert_eq!(bench.cell(&VIP, 1), 0);
    assert_eq!(bench.packets(VIP), (0, vec![0]));
}

#[test]
fn a_cell_is_free_once_its_server_is_forgotten() {
    let mut bench = Bench::new();
    bench.add(VIP, 1);
    bench.cells.count(0, 10);
    bench.cells.hold(0, 1);
    bench.delete(VIP, 1);
    bench.settle(2 * TRASH_PERIODS);
    bench.add(VIP, 2);
    assert_eq!(bench.cell(&VIP, 2), 1, "connections keep it");
    bench.cells.hold(0, 0);
    bench.settle(TRASH_PERIODS - 1);
    bench.add(VIP, 3);
    assert_eq!(bench.cell(&VIP, 3), 2, "it is remembered for 120 seconds");
    bench.settle(1);
    bench.add(VIP, 4);
    assert_eq!(bench.cell(&VIP, 4), 0);
    assert_eq!(
        bench.packets(VIP).1,
        [0, 0, 0],
        "another server does not inherit statistics"
    );
}

#[test]
fn without_room_the_cell_of_an_idle_server_goes_first() {
    let mut bench = Bench::new();
    bench.store.cells = CellBook::new(2);
    bench.add(VIP, 1);
    bench.add(VIP, 2);
    let third = Command::AddServer {
        service: VIP,
        server: server(3),
    };
    bench.refused(&third, &Refusal::Full);
    bench.delete(VIP, 1);
    assert_eq!(
        bench.apply(&third),
        Err(Refusal::Full),
        "a worker may still use it"
    );
    bench.settle(0);
    bench.cells.hold(0, 1);
    assert_eq!(
        bench.apply(&third),
        Err(Refusal::Full),
        "a connection uses it"
    );
    bench.cells.hold(0, 0);
    bench.done(&third);
    assert_eq!(bench.cell(&VIP, 3), 0);
}

#[test]
fn rates_stay_as_they_are_without_run_estimation() {
    let mut bench = Bench::new();
    bench.add(VIP, 1);
    bench.cells.count(0, 1000);
    bench.settle(1);
    let before = bench.view(VIP).rates;
    let set = |value: &str| {
        Command::Tune(vec![Tuning {
            name: "run_estimation".to_owned(),
            value: value.to_owned(),
        }])
    };
    bench.apply(&set("0")).unwrap();
    bench.settle(4);
    let view = bench.view(VIP);
    assert_eq!((view.rates, view.servers[0].rates), (before, before));
    bench.apply(&set("1")).unwrap();
    bench.settle(1);
    assert!(bench.view(VIP).rates.in_packets < before.in_packets);
}

#[test]
fn rates_follow_the_counters() {
    let mut bench = Bench::new();
    bench.add(VIP, 1);
    bench.cells.count(0, 1000);
    bench.settle(1);
    let view = bench.view(VIP);
    let expected = Figures {
        connections: 62,
        in_packets: 125,
        ..Figures::default()
    };
    assert_eq!((view.rates, view.servers[0].rates), (expected, expected));
    bench.done(&Command::Zero(None));
    assert_eq!(bench.view(VIP).rates, Figures::default());
}
