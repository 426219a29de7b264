//! What commands change, and what they are refused for, in the order and the words of the kernel.

use super::*;

#[test]
fn servers_are_listed_last_added_first_and_edited_in_place() {
    let mut bench = Bench::new();
    for last in [5, 1, 9] {
        bench.add(VIP, last);
    }
    let edited = ServerConfig {
        weight: 7,
        ..server(1)
    };
    bench.done(&Command::EditServer {
        service: VIP,
        server: edited,
    });
    let list: Vec<_> = bench
        .view(VIP)
        .servers
        .iter()
        .map(|s| (s.config.key, s.config.weight))
        .collect();
    assert_eq!(
        list,
        [(server(9).key, 1), (server(1).key, 7), (server(5).key, 1)]
    );
}

#[test]
fn every_edit_makes_a_snapshot_and_a_listing_none() {
    let mut bench = Bench::new();
    assert_eq!(bench.store.take_snapshot().unwrap().version, 1);
    bench.view(VIP);
    bench.done(&Command::Zero(None));
    assert!(bench.store.take_snapshot().is_none());
    bench.add(VIP, 1);
    bench.add(VIP, 2);
    let snapshot = bench.store.take_snapshot().unwrap();
    assert_eq!(
        (
            snapshot.version,
            snapshot.find(&VIP).unwrap().servers().len()
        ),
        (2, 2)
    );
    bench.done(&Command::SetTimeouts {
        tcp_secs: 10,
        tcp_fin_secs: 0,
        udp_secs: 30,
    });
    assert_eq!(
        bench.store.take_snapshot().unwrap().timeouts.get(),
        (10, 120, 30)
    );
}

#[test]
fn refusals_of_services_in_the_kernel_s_order() {
    let mut bench = Bench::new();
    bench.add(VIP, 1);
    let unknown = ServiceRequest {
        scheduler: "nosuch".into(),
        ..request(VIP)
    };
    bench.refused(
        &Command::AddService(unknown.clone()),
        &Refusal::ServiceExists,
    );
    bench.refused(
        &Command::EditService(unknown.clone()),
        &Refusal::SchedulerUnknown,
    );
    let elsewhere = ServiceRequest {
        key: service(7),
        ..unknown
    };
    bench.refused(
        &Command::EditService(elsewhere.clone()),
        &Refusal::ServiceUnknown,
    );
    bench.refused(&Command::AddService(elsewhere), &Refusal::SchedulerUnknown);
    bench.refused(
        &Command::DeleteService(service(7)),
        &Refusal::ServiceUnknown,
    );
    bench.refused(&Command::Zero(Some(service(7))), &Refusal::ServiceUnknown);
    bench.refused(&Command::ListService(service(7)), &Refusal::ServiceUnknown);
}

#[test]
fn refusals_of_servers_in_the_kernel_s_order() {
    let mut bench = Bench::new();
    bench.add(VIP, 1);
    let mut add = |config: ServerConfig, refusal| {
        bench.refused(
            &Command::AddServer {
                service: VIP,
                server: config,
            },
            &refusal,
        );
    };
    add(
        ServerConfig {
            lower_threshold: 1,
            ..server(1)
        },
        Refusal::OutOfRange,
    );
    add(
        ServerConfig {
            weight: 1 << 31,
            ..server(1)
        },
        Refusal::OutOfRange,
    );
    add(server(1), Refusal::ServerExists);
    for address in ["224.0.0.5", "255.255.255.255", "0.1.2.3"] {
        let key = ServerKey {
            address: address.parse().unwrap(),
            port: 80,
        };
        add(ServerConfig { key, ..server(2) }, Refusal::Invalid);
    }
    let gue = Tunnel {
        kind: TunnelKind::Gue,
        ..Tunnel::default()
    };
    add(
        ServerConfig {
            tunnel: gue,
            method: Method::Tunnel,
            ..server(2)
        },
        Refusal::Invalid,
    );
    let v6 = ServerKey {
        address: "fd00::1".parse().unwrap(),
        port: 80,
    };
    add(
        ServerConfig {
            key: v6,
            ..server(2)
        },
        Refusal::Invalid,
    );
    let edit = |last| Command::EditServer {
        service: VIP,
        server: server(last),
    };
    bench.refused(&edit(2), &Refusal::ServerUnknown);
    let delete = Command::DeleteServer {
        service: service(7),
        server: server(1).key,
    };
    bench.refused(&delete, &Refusal::ServiceUndefined);
}

#[test]
fn what_the_director_cannot_do_is_refused_in_a_sentence() {
    let mut bench = Bench {
        store: Store::new(Capabilities::WITHOUT_MASQUERADING),
        cells: Cells::default(),
    };
    bench.done(&Command::AddService(request(VIP)));
    let with = |method| ServerConfig {
        method,
        ..server(1)
    };
    let add = |method| Command::AddServer {
        service: VIP,
        server: with(method),
    };
    let unsupported = Refusal::Unsupported(Feature::Masquerading);
    bench.refused(&add(Method::Masquerade), &unsupported);
    assert!(unsupported.to_string().contains("workers.steering"));
    bench.done(&add(Method::Route));
    let edit = Command::EditServer {
        service: VIP,
        server: with(Method::Masquerade),
    };
    bench.refused(&edit, &unsupported);
}

#[test]
fn locality_holds_for_services_that_are_there_and_that_come() {
    let mut bench = Bench::new();
    bench.settle(0);
    bench.store.set_locality(Arc::new(|address: IpAddr| {
        address == IpAddr::from([10, 0, 0, 100])
    }));
    assert!(
        bench
            .store
            .take_snapshot()
            .unwrap()
            .find(&VIP)
            .unwrap()
            .local
    );
    bench.store.set_locality(Arc::new(|_: IpAddr| true));
    assert!(
        bench.store.take_snapshot().is_none(),
        "nothing that a worker would see has changed"
    );
    bench.done(&Command::AddService(request(service(7))));
    assert!(
        bench
            .store
            .take_snapshot()
            .unwrap()
            .find(&service(7))
            .unwrap()
            .local
    );
}

#[test]
fn daemons_start_once_and_on_a_device() {
    let mut bench = Bench::new();
    let start = |role, interface: &str| {
        Command::StartDaemon(DaemonRequest {
            role,
            interface: interface.to_owned(),
            sync_id: 3,
            max_len: None,
            group: None,
            port: None,
            ttl: None,
        })
    };
    struct Devices;
    impl Locality for Devices {
        fn is_local(&self, _: IpAddr) -> bool {
            false
        }
        fn device_mtu(&self, name: &str) -> Option<u32> {
            (name == "eth1").then_some(9000)
        }
    }
    bench.refused(&start(DaemonRole::Master, "eth1"), &Refusal::DeviceUnknown);
    bench.store.set_locality(Arc::new(Devices));
    bench.done(&start(DaemonRole::Master, "eth1"));
    bench.refused(&start(DaemonRole::Master, "eth1"), &Refusal::DaemonRuns);
    bench.refused(&start(DaemonRole::Master, "eth2"), &Refusal::DeviceUnknown);
    bench.done(&start(DaemonRole::Backup, "eth1"));
    let Ok(Outcome::Daemons(daemons)) = bench.apply(&Command::ListDaemons) else {
        panic!()
    };
    assert_eq!(
        daemons.iter().map(|d| d.max_len).collect::<Vec<_>>(),
        [1472, 8972]
    );
    bench.done(&Command::StopDaemon(DaemonRole::Master));
    bench.refused(
        &Command::StopDaemon(DaemonRole::Master),
        &Refusal::DaemonUnknown,
    );
}

#[test]
fn an_engine_is_kept_with_and_without_persistence() {
    // As the rules of ipvsadm 1.31 show it.
    let mut bench = Bench::new();
    let with = |engine: &str| ServiceRequest {
        engine: Some(engine.to_owned()),
        ..request(VIP)
    };
    bench.refused(
        &Command::EditService(with("nosuch")),
        &Refusal::SchedulerUnknown,
    );
    bench.done(&Command::EditService(with("sip")));
    let Ok(Outcome::Services { services, .. }) = bench.apply(&Command::ListServices) else {
        panic!()
    };
    assert_eq!(services[0].config.engine.as_deref(), Some("sip"));
}

/// Workers judge by the old threshold until they have seen that there is none.
#[test]
fn a_server_without_a_threshold_is_judged_again_when_workers_have_seen_it() {
    let mut bench = Bench::new();
    bench.add(VIP, 1);
    bench.settle(0);
    let limited = |upper| {
        let config = ServerConfig {
            upper_threshold: upper,
            ..server(1)
        };
        Command::EditServer {
            service: VIP,
            server: config,
        }
    };
    bench.done(&limited(10));
    bench.settle(0);
    bench.cells.judged.take();
    bench.done(&limited(0));
    let now = (ServerIndex(0), 0, 0);
    assert_eq!(bench.cells.judged.take(), [now]);
    bench
        .store
        .note_seen(bench.store.snapshot().version, &bench.cells);
    assert_eq!(bench.cells.judged.take(), [], "it is not published yet");
    bench.settle(0);
    assert_eq!(bench.cells.judged.take(), [now]);
    bench.settle(0);
    assert_eq!(bench.cells.judged.take(), [], "once");
}
