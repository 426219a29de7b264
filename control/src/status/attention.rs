//! What an operator should look at, in sentences: the first lines of `status`, and its exit status.
//!
//! A state that a healthy director may be in for good is none: a service that waits for its address
//! (a VRRP backup), a link that the driver cannot tell of, a rule of Linux that is not followed.

use super::{HopState, StatusView, WorkerState};

/// A table that is fuller than this many percent is told.
const FULL_PERCENT: u64 = 90;

/// A next hop of a server that is still being asked for after this time is told.
const ASKED_SECS_MAX: u64 = 5;

/// What threads of pvsd report every second is told if it is as old as this.
const AGE_SECS_MAX: u64 = 10;

/// Sentences of one kind at most; the last one says how many more there are.
const PER_KIND: usize = 4;

/// Every sentence, the gravest kinds first; none if all is well.
#[must_use]
pub fn attention(status: &StatusView) -> Vec<String> {
    let kinds = [
        workers(status),
        ages(status),
        ports(status),
        namespace(status),
        interfaces(status),
        hops(status),
        refusals(status),
        astray(status),
        tables(status),
    ];
    kinds.into_iter().flat_map(some).collect()
}

/// A few of these sentences.
fn some(mut sentences: Vec<String>) -> Vec<String> {
    let more = sentences.len().saturating_sub(PER_KIND);
    if more > 0 {
        sentences.truncate(PER_KIND);
        sentences.push(format!("and {more} more of this kind"));
    }
    sentences
}

fn workers(status: &StatusView) -> Vec<String> {
    let newest = status.config.published;
    let stuck = status
        .workers
        .iter()
        .filter(|worker| worker.state == WorkerState::Stuck);
    stuck
        .map(|worker| {
            // Who polls sees the newest configuration with its next turn: none but these lag.
            let lags = match worker.config_seen {
                Some(seen) if seen < newest => {
                    format!(": it uses version {seen} of the configuration, the newest is {newest}")
                }
                _ => String::new(),
            };
            format!("worker {} does not poll{lags}", worker.worker)
        })
        .collect()
}

fn ages(status: &StatusView) -> Vec<String> {
    let ages = [
        (
            "the figures of ports, rates and shares are",
            status.sample_age_ms / 1000,
        ),
        ("what is shown of Linux is", status.linux.age_ms / 1000),
    ];
    let old = ages.iter().filter(|(_, secs)| *secs >= AGE_SECS_MAX);
    old.map(|(what, secs)| format!("{what} {secs} s old: pvsd does not keep up"))
        .collect()
}

fn ports(status: &StatusView) -> Vec<String> {
    let down = status
        .ports
        .iter()
        .filter(|port| port.link_up == Some(false));
    down.map(|port| format!("the link of port {} ({}) is down", port.port, port.device))
        .collect()
}

fn namespace(status: &StatusView) -> Vec<String> {
    let linux = &status.linux;
    let name = &linux.namespace;
    let nameless = linux.nameless.then(|| {
        format!(
            "the network namespace {name} has lost its name, and pvsd is still inside: \
             ip netns add {name} makes the next one, where it moves"
        )
    });
    let error = linux.recovery_error.as_ref();
    let failing = error.map(|error| format!("what was deleted is not made again: {error}"));
    nameless.into_iter().chain(failing).collect()
}

fn interfaces(status: &StatusView) -> Vec<String> {
    let told = status.linux.interfaces.iter().filter_map(|interface| {
        let name = &interface.name;
        match (interface.gone, interface.up) {
            (true, _) => Some(format!("the mirror tap {name} is gone")),
            (false, false) => Some(format!(
                "the interface {name} is down: ip link set {name} up"
            )),
            (false, true) => None,
        }
    });
    told.collect()
}

fn hops(status: &StatusView) -> Vec<String> {
    let unanswered = status.linux.unresolved.iter().filter(|hop| {
        hop.for_server && (hop.state == HopState::Failed || hop.secs >= ASKED_SECS_MAX)
    });
    unanswered
        .map(|hop| {
            format!(
                "{} on {}, by which servers are reached, has not answered for {} s",
                hop.address, hop.interface, hop.secs
            )
        })
        .collect()
}

fn refusals(status: &StatusView) -> Vec<String> {
    let linux = &status.linux;
    let told = linux.refusing_hops.then(|| {
        format!(
            "there is no room for more next hops of clients and gateways: {} are kept, {} requests were refused",
            linux.hops_for_clients, linux.hops_refused
        )
    });
    told.into_iter().collect()
}

fn astray(status: &StatusView) -> Vec<String> {
    let told = status.linux.astray.iter().map(|astray| {
        let server = astray.server;
        match (&astray.interface, astray.has_route) {
            (_, false) => format!("there is no route to the server {server}"),
            (Some(name), true) => {
                format!(
                    "the route to the server {server} leads out by {name}, which is no port of pvs"
                )
            }
            (None, true) => {
                format!("the route to the server {server} is one that pvs does not follow")
            }
        }
    });
    told.collect()
}

fn tables(status: &StatusView) -> Vec<String> {
    let full = status.tables.iter().filter(|table| {
        table.used.saturating_mul(100) > table.capacity.saturating_mul(FULL_PERCENT)
    });
    full.map(|table| {
        let family = table.family.replace("ipv", "IPv");
        format!(
            "the connection table of {family} is full to more than {FULL_PERCENT} %: {} of {}",
            table.used, table.capacity
        )
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{AstrayView, HopView, InterfaceView, PortView, TableView, WorkerView};

    fn told(change: impl FnOnce(&mut StatusView)) -> String {
        let mut status = StatusView::default();
        change(&mut status);
        attention(&status).join("; ")
    }

    #[test]
    fn a_director_that_is_well_has_nothing_to_tell() {
        assert_eq!(told(|_| ()), "");
        let well = told(|s| {
            s.ports = vec![PortView::default()];
            s.linux.interfaces = vec![InterfaceView {
                up: true,
                ..InterfaceView::default()
            }];
            s.tables = vec![TableView {
                used: 90,
                capacity: 100,
                ..TableView::default()
            }];
            s.config.published = 7;
            s.workers = vec![
                WorkerView {
                    state: WorkerState::Napping,
                    ..WorkerView::default()
                },
                WorkerView {
                    config_seen: Some(7),
                    ..WorkerView::default()
                },
            ];
            let address = [10, 0, 0, 1].into();
            let hop = |state, for_server, secs| HopView {
                address,
                interface: "pvs0".into(),
                state,
                for_server,
                secs,
            };
            s.linux.unresolved = vec![
                hop(HopState::Asked, true, 4),
                hop(HopState::Failed, false, 99),
            ];
        });
        assert_eq!(well, "");
    }

    #[test]
    fn what_is_wrong_is_told() {
        assert_eq!(
            told(|s| s.ports = vec![PortView {
                device: "net_x".into(),
                link_up: Some(false),
                ..PortView::default()
            }]),
            "the link of port 0 (net_x) is down"
        );
        let refused = told(|s| (s.linux.hops_refused, s.linux.refusing_hops) = (5, true));
        assert!(refused.ends_with("5 requests were refused"), "{refused}");
        assert_eq!(told(|s| s.linux.hops_refused = 5), "", "long ago");
        let nameless = told(|s| (s.linux.namespace, s.linux.nameless) = ("lb".into(), true));
        assert!(
            nameless.starts_with("the network namespace lb has lost its name"),
            "{nameless}"
        );
        assert_eq!(
            told(|s| s.linux.recovery_error = Some("tap pvs0 is in use".into())),
            "what was deleted is not made again: tap pvs0 is in use"
        );
        let interface = |gone| InterfaceView {
            name: "pvs0".into(),
            gone,
            ..InterfaceView::default()
        };
        assert!(told(|s| s.linux.interfaces = vec![interface(true)]).contains("pvs0 is gone"));
        assert!(told(|s| s.linux.interfaces = vec![interface(false)]).contains("pvs0 is down"));
        let stuck = WorkerView {
            worker: 3,
            state: WorkerState::Stuck,
            ..WorkerView::default()
        };
        assert_eq!(told(|s| s.workers = vec![stuck]), "worker 3 does not poll");
        let lags = told(|s| {
            s.config.published = 9;
            let state = WorkerState::Stuck;
            s.workers = vec![WorkerView {
                state,
                config_seen: Some(8),
                ..WorkerView::default()
            }];
        });
        assert!(
            lags.ends_with("uses version 8 of the configuration, the newest is 9"),
            "{lags}"
        );
        let old = told(|s| (s.sample_age_ms, s.linux.age_ms) = (9_999, 10_000));
        assert_eq!(
            old,
            "what is shown of Linux is 10 s old: pvsd does not keep up"
        );
        let table = TableView {
            family: "ipv6".into(),
            used: 91,
            capacity: 100,
        };
        assert!(
            told(|s| s.tables = vec![table])
                .contains("of IPv6 is full to more than 90 %: 91 of 100")
        );
    }

    #[test]
    fn of_many_sentences_of_a_kind_some_are_told() {
        let astray = |last| AstrayView {
            server: [10, 0, 0, last].into(),
            interface: None,
            has_route: false,
        };
        let told = told(|s| s.linux.astray = (1..=9).map(astray).collect());
        assert_eq!(told.split("; ").count(), PER_KIND + 1);
        assert!(told.ends_with("; and 5 more of this kind"), "{told}");
    }
}
