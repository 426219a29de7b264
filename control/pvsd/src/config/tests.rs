//! Configuration files, right and wrong.

use super::file::{check, parse};
use super::*;
use std::path::Path;

const PORT: &str = "[[port]]\ndevice = \"net_af_packet0,iface=d0\"\nmirror = \"eth0\"\n";

fn config(text: &str) -> Result<Config> {
    let config = parse(Path::new("pvsd.toml"), text)?;
    check(&config)?;
    Ok(config)
}

#[test]
fn what_is_not_given_has_a_value() {
    let config = config(PORT).unwrap();
    assert_eq!(config.port[0].role, Role::Both);
    assert_eq!(config.port[0].netdev(), Some("d0"));
    assert_eq!(config.control.mode().unwrap(), 0o660);
    assert_eq!(config.workers.count, 1);
}

/// The file that operators copy.
const EXAMPLE: &str = include_str!("../../../../docs/pvsd.toml");

#[test]
fn the_example_has_the_values_of_a_file_that_says_nothing() {
    let mut example = config(EXAMPLE).unwrap();
    for port in std::mem::take(&mut example.port) {
        assert_eq!(
            (port.role, port.namespace, port.mtu),
            (Role::Both, None, None)
        );
    }
    assert_eq!(example, Config::default());
}

#[test]
fn what_the_example_leaves_out_may_be_set_as_it_shows() {
    let set = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    let example = config(&EXAMPLE.lines().map(set).collect::<String>()).unwrap();
    assert_eq!(example.port[0].namespace.as_deref(), Some("director"));
    assert_eq!(example.port[0].mtu, Some(1500));
    let default = TableConfig::default();
    assert_eq!(example.table.connections6, Some(default.connections / 4));
    assert!(example.control.group.is_some() && example.rules.file.is_some());
    assert_eq!(example.rules.mh_slots().unwrap().len(), 1);
}

#[test]
fn a_mistake_is_told_in_one_line_that_says_what_would_be_right() {
    let tell = |text: &str| {
        let line = format!("{:#}", config(text).unwrap_err());
        assert!(!line.contains('\n'), "{line}");
        line
    };
    assert!(tell("").contains("at least one [[port]]"));
    assert!(
        tell(&format!("{PORT}[table]\nconections = 5\n"))
            .starts_with("pvsd.toml: line 5: unknown field")
    );
    assert!(tell(&format!("{PORT}[workers]\ncount = 65\n")).contains("1 to 64 are possible"));
    assert!(tell(&format!("{PORT}[workers]\nsteering = \"rss\"\n")).contains("unknown variant"));
    assert!(tell(&format!("{PORT}{PORT}")).contains("each needs one of its own"));
    assert!(tell(&format!("{PORT}[control]\nmode = \"0999\"\n")).contains("octal"));
    assert!(tell(&format!("{PORT}[table]\nconnections = 5\n")).contains("268435456"));
    assert!(
        tell("[[port]]\ndevice = \"net_null0\"\nmirror = \"a:b\"\n").contains("no interface name")
    );
    assert!(tell(&format!("{PORT}[sysctl]\nsecure_tcp = 4\n")).contains("0 to 3 are possible"));
    assert!(tell(&format!("{PORT}[sysctl]\nsecure = 4\n")).contains("no such tunable"));
    let slots = |line: &str| tell(&format!("{PORT}[rules]\nmh_slots = {{ {line} }}\n"));
    assert!(slots("\"-t 10.0.0.1:80\" = 65536").contains("65521, 65537"));
    assert!(slots("\"10.0.0.1:80\" = 65537").contains("unexpected argument"));
    let second = PORT.replace("packet0", "packet1").replace("eth0", "eth1");
    assert!(tell(&format!("{PORT}{second}")).contains("two ports have the interface d0"));
    let cores = "[workers]\ncount = 2\ncores = [3, 3]\n";
    assert!(tell(&format!("{PORT}{cores}")).contains("core 3 twice"));
    assert!(tell(&format!("{PORT}[log]\nlevel = \"verbose\"\n")).contains("debug or trace"));
    assert!(tell(&PORT.replace("d0", "d0\\u0000")).contains("NUL"));
    assert!(tell("[[port]]\ndevice = 5\n").starts_with("pvsd.toml: line 2: "));
}
