//! Completions in the shells themselves: what bash, zsh and fish offer for command lines that are
//! being typed. `scripts/deps` installs the shells; without them this fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::path::Path;
use std::process::{Command, Stdio};

/// Runs a program to its end: what it printed, in which nothing is an error.
fn ran(command: &mut Command) -> String {
    let shown = format!("{command:?}");
    let ran = command.stdin(Stdio::null()).output();
    let ran = ran.unwrap_or_else(|error| panic!("{error}: {shown} (scripts/deps installs it)"));
    let errors = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(
        (ran.status.code(), errors.as_str()),
        (Some(0), ""),
        "{shown}"
    );
    String::from_utf8(ran.stdout).unwrap()
}

fn generated(shell: &str) -> String {
    ran(Command::new(env!("CARGO_BIN_EXE_pvsadm")).args(["completions", shell]))
}

/// What a shell offers for each of the lines, without descriptions.
type Offers = fn(&Path, &[&str]) -> Vec<Vec<String>>;

fn bash(_: &Path, lines: &[&str]) -> Vec<Vec<String>> {
    let text = generated("bash");
    let offered = |line: &&str| {
        let split = line.replace('=', " = ");
        let words: Vec<String> = split.split(' ').map(|word| format!("'{word}'")).collect();
        let words = words.join(" ").replace("'=' ''", "'='");
        let script = format!(
            "{text}\nCOMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _pvsadm\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        list(&ran(Command::new("bash").args(["--norc", "-c", &script])))
    };
    lines.iter().map(offered).collect()
}

fn zsh(folder: &Path, lines: &[&str]) -> Vec<Vec<String>> {
    std::fs::write(folder.join("_pvsadm"), generated("zsh")).unwrap();
    std::fs::write(folder.join("typed"), lines.join("\n")).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/complete.zsh");
    ran(Command::new("zsh")
        .args(["-f", script])
        .arg(folder)
        .env("HOME", folder));
    let offered = std::fs::read_to_string(folder.join("offered")).unwrap();
    let parts: Vec<&str> = offered.split("> ").skip(1).collect();
    let headings = parts.iter().filter_map(|part| part.lines().next());
    assert_eq!(
        headings.collect::<Vec<_>>(),
        lines,
        "each line was looked at"
    );
    // An attached value is offered as such, the others with a blank or an equals sign behind.
    let part = |part: &&str| list(part.split_once('\n').unwrap().1);
    parts.iter().map(part).collect()
}

fn fish(folder: &Path, lines: &[&str]) -> Vec<Vec<String>> {
    let file = folder.join("pvsadm.fish");
    std::fs::write(&file, generated("fish")).unwrap();
    let offered = |line: &&str| {
        let script = "source $argv[1]; complete -C $argv[2]";
        let mut fish = Command::new("fish");
        fish.args(["--no-config", "-c", script])
            .arg(&file)
            .arg(line);
        let home = ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"].map(|name| (name, folder));
        let offered = list(&ran(fish.envs(home)));
        let bare = |line: String| line.split('\t').next().unwrap().to_owned();
        offered.into_iter().map(bare).collect()
    };
    lines.iter().map(offered).collect()
}

fn list(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.map(str::to_owned).collect()
}

/// The words that pvsadm has and ipvsadm has not.
const WORDS: &str = "apply diff check proc completions manual status drops sysctl explain mark";

/// Lines, and what is offered for them, whatever the order: exactly this, or with a `+` this and
/// more, or with a `-` nothing of this.
fn cases() -> Vec<(&'static str, char, &'static str)> {
    vec![
        ("pvsadm di", '=', "diff"),
        ("pvsadm ", '+', WORDS),
        ("ipvsadm di", '=', ""),
        ("ipvsadm ", '-', WORDS),
        ("pvsadm -A ", '-', WORDS),
        (
            "pvsadm -",
            '+',
            "-A -E -D -C -L -Z --add-service --set --help",
        ),
        (
            "pvsadm -A -",
            '+',
            "-t -u -f -s -p -M -b -o --scheduler --persistent --pe",
        ),
        ("ipvsadm --add-s", '=', "--add-service --add-server"),
        ("pvsadm -L --pers", '=', "--persistent --persistent-conn"),
        ("pvsadm -A -t x -s lbl", '=', "lblc lblcr"),
        (
            "ipvsadm -E -f 1 -s ",
            '+',
            "rr wrr wlc sh dh mh fo ovf sed nq twos none",
        ),
        ("pvsadm -A -f 1 -b sh-", '=', "sh-fallback sh-port"),
        ("pvsadm -a -f 1 --tun-type ", '=', "ipip gue gre"),
        ("pvsadm -A -f 1 --pe ", '=', "sip"),
        ("ipvsadm --start-daemon ", '=', "master backup"),
        ("pvsadm -a -t ", '=', ""),
        ("pvsadm drops --a", '=', "--all"),
        ("pvsadm drops -", '-', "-A --add-service"),
        ("pvsadm status --", '=', "--all --json --help"),
        (
            "pvsadm explain --",
            '+',
            "--tcp-service --udp-service --from --json",
        ),
        ("pvsadm explain -f ", '=', ""),
        ("pvsadm completions ", '+', "bash zsh fish"),
        ("pvsadm proc ip_vs_", '=', "ip_vs_conn ip_vs_stats"),
        ("pvsadm sysctl expire_no", '=', "expire_nodest_conn"),
        ("pvsadm mark fl", '=', "flush"),
        ("pvsadm mark add -s ", '-', "rr wlc"),
        ("pvsadm mark add --protocol ud", '=', "udp"),
        ("pvsadm apply --d", '=', "--dry-run"),
        ("pvsadm check /etc/host", '+', "/etc/hosts"),
    ]
}

fn sorted(mut all: Vec<String>) -> Vec<String> {
    all.sort();
    all.dedup();
    all
}

fn judge(shell: &str, offers: Offers) {
    let folder = tempfile::tempdir().unwrap();
    let cases = cases();
    let lines: Vec<&str> = cases.iter().map(|case| case.0).collect();
    for ((line, how, expected), offered) in cases.iter().zip(offers(folder.path(), &lines)) {
        // zsh offers the part of a file's name behind its folder.
        let offered = offered
            .iter()
            .map(|word| word.trim_start_matches("/etc/").to_owned());
        let offered = sorted(offered.collect());
        let expected = expected
            .split_whitespace()
            .map(|word| word.trim_start_matches("/etc/"));
        let expected = sorted(expected.map(str::to_owned).collect());
        let among = |word: &String| offered.contains(word);
        let right = match how {
            '=' => offered == expected,
            '+' => expected.iter().all(among),
            _ => !expected.iter().any(among),
        };
        assert!(
            right,
            "{shell}, `{line}': {offered:?} instead of {how} {expected:?}"
        );
    }
    println!("{shell}: {} lines completed as they should be", cases.len());
}

#[test]
fn bash_offers_what_may_come_next() {
    judge("bash", bash);
    let values = &bash(
        Path::new("/"),
        &["pvsadm -A --scheduler=lbl", "pvsadm -A --pe="],
    );
    assert_eq!(values[..], [vec!["lblc", "lblcr"], vec!["sip"]]);
}

#[test]
fn zsh_offers_what_may_come_next() {
    judge("zsh", zsh);
    let folder = tempfile::tempdir().unwrap();
    let values = zsh(
        folder.path(),
        &["pvsadm -A --scheduler=lbl", "ipvsadm -A -t x -slbl"],
    );
    assert_eq!(values[..], [["lblc", "lblcr"], ["lblc", "lblcr"]]);
}

#[test]
fn fish_offers_what_may_come_next() {
    judge("fish", fish);
    let folder = tempfile::tempdir().unwrap();
    let values = fish(folder.path(), &["pvsadm -A --scheduler=lbl"]);
    assert_eq!(values[0], ["--scheduler=lblc", "--scheduler=lblcr"]);
}
