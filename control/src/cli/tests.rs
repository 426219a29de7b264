//! What no recording of the sample shows: the order of options, and who is asked first.

use super::*;
use crate::command::Command;
use pvs_sched::config::{Method, ServiceKey};

fn names() -> FileNames {
    FileNames::parse(
        "10.1.2.3 web1\n",
        "http 80/tcp\ndomain 53/udp\namqp 5672/sctp\n",
    )
}

fn planned(line: &str) -> Result<Plan, Failure> {
    let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
    plan(&argv, &names())
}

fn said(line: &str) -> String {
    planned(line).unwrap_err().to_string()
}

fn server(line: &str) -> (String, Method) {
    match planned(line) {
        Ok(Plan::Ask {
            command: Command::AddServer { server, .. },
            ..
        }) => (
            format!("{}:{}", server.key.address, server.key.port),
            server.method,
        ),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_server_without_port_takes_the_service_s_if_that_is_known() {
    assert_eq!(
        server("ipvsadm -a -t 10.0.0.1:80 -r 10.0.1.1 -m").0,
        "10.0.1.1:80"
    );
    assert_eq!(
        server("ipvsadm -a -r 10.0.1.1 -t 10.0.0.1:80 -m").0,
        "10.0.1.1:0"
    );
    assert_eq!(
        server("ipvsadm -a -r 10.0.1.1 -t 10.0.0.1:80").0,
        "10.0.1.1:80"
    );
    assert_eq!(
        server("ipvsadm -a -f 1 -r 10.0.1.1:http -i").0,
        "10.0.1.1:80"
    );
}

#[test]
fn a_port_s_name_is_of_the_service_s_protocol() {
    let illegal = "illegal real server address[:port] specified";
    assert_eq!(
        server("ipvsadm -a -u 10.0.0.1:domain -r 10.0.1.1:domain -m").0,
        "10.0.1.1:53"
    );
    assert_eq!(
        said("ipvsadm -a -t 10.0.0.1:80 -r 10.0.1.1:domain -m"),
        illegal
    );
    assert_eq!(
        said("ipvsadm -a -r 10.0.1.1:http -t 10.0.0.1:80 -m"),
        illegal
    );
    assert!(planned("ipvsadm -A --sctp-service 10.0.0.1:amqp").is_ok());
}

#[test]
fn a_word_before_the_command_is_left_over() {
    assert_eq!(said("ipvsadm foo -L"), "unexpected argument foo");
    assert_eq!(
        said("pvsadm -- -L"),
        "Try `pvsadm -h' or 'pvsadm --help' for more information."
    );
    assert_eq!(
        said("ipvsadm -L --numeric=1"),
        "--numeric=1: option does not take an argument"
    );
}

#[test]
fn a_second_command_is_quoted_by_its_last_word() {
    assert_eq!(said("ipvsadm -L -h"), "invalid option `-h'");
    assert_eq!(said("ipvsadm -L -nZ"), "invalid option `-nZ'");
    assert_eq!(
        said("ipvsadm -L --start-daemon master"),
        "invalid option `master'"
    );
    assert_eq!(
        said("ipvsadm -L --stop-daemon=master"),
        "invalid option `--stop-daemon=master'"
    );
    assert_eq!(
        said("ipvsadm --stop-daemon mister"),
        "illegal start_daemon specified"
    );
}

#[test]
fn what_is_met_first_is_said_first() {
    assert_eq!(said("ipvsadm -L -w x"), "illegal weight specified");
    assert_eq!(
        said("ipvsadm -L -w 1 -w x"),
        "multiple 'weight' options specified"
    );
    assert_eq!(said("ipvsadm -L -w 1 foo"), "unexpected argument foo");
    assert_eq!(said("ipvsadm -A -b nosuch foo"), "unexpected argument foo");
    assert_eq!(
        said("ipvsadm -D -b nosuch"),
        "invalid scheduler flag `nosuch'"
    );
    let needed = "You need to supply the 'real-server' option for the 'add-server' command";
    assert_eq!(said("ipvsadm -a -t 10.0.0.1:80 -w 1"), needed);
}

#[test]
fn tunnels_need_their_options() {
    let gue = "ipvsadm -a -t 10.0.0.1:80 -r 10.0.1.1 -i --tun-type gue";
    assert_eq!(
        said(gue),
        "You need to supply the 'tun-port' option for the 'gue' tunnel type"
    );
    let gre = "ipvsadm -a -t 10.0.0.1:80 -r 10.0.1.1 -i --tun-type gre --tun-port 1";
    assert_eq!(
        said(gre),
        "Illegal 'tun-port' option with the 'gre' tunnel type"
    );
    // As ipvsadm 1.31 refuses it.
    let gre = "ipvsadm -a -t 10.0.0.1:80 -r 10.0.1.1 -i --tun-type gre --tun-remcsum";
    assert_eq!(
        said(gre),
        "Illegal 'tun-remcsum' option with the 'gre' tunnel type"
    );
}

#[test]
fn an_empty_scheduler_is_the_default_one() {
    let argv = ["ipvsadm", "-A", "-t", "10.0.0.1:80", "-s", ""].map(str::to_owned);
    let Ok(Plan::Ask {
        command: Command::AddService(request),
        ..
    }) = plan(&argv, &names())
    else {
        panic!()
    };
    assert_eq!(request.scheduler, "wlc");
}

#[test]
fn zero_and_list_take_a_service_or_none() {
    let command = |line| match planned(line) {
        Ok(Plan::Ask { command, .. }) => command,
        other => panic!("{other:?}"),
    };
    assert_eq!(command("ipvsadm -Z"), Command::Zero(None));
    assert_eq!(command("ipvsadm"), Command::ListServices);
    let Command::ListService(ServiceKey::Mark { mark: 3, .. }) = command("ipvsadm -L -f 3 -6")
    else {
        panic!()
    };
}

#[test]
fn help_has_every_option_once() {
    let text = help::help("pvsadm");
    for row in options::OPTIONS {
        assert!(text.contains(&format!("--{}", row.long)), "{}", row.long);
    }
    assert!(text.lines().all(|line| line.len() < 100));
}

#[test]
fn a_nul_in_the_input_ends_its_word() {
    // ipvsadm 1.31 tells of the second service: what is between is no command there.
    let input = "-A -t 10.0.0.1:80\0-A -t 10.0.0.2:80\n";
    let lines = restore::lines("ipvsadm", input, &names());
    let said = Failure::wrong("multiple 'service-address' options specified");
    assert_eq!(lines, [restore::Line::Wrong(said)]);
}

#[test]
fn of_scheduler_flags_the_first_127_bytes_are_read() {
    let flags = format!("{}nosuch", "flag-1,".repeat(18));
    let line = format!("ipvsadm -A -t 10.0.0.1:80 -b {flags}");
    // As ipvsadm 1.31 quotes it.
    assert_eq!(said(&line), "invalid scheduler flag `n'");
}
