//! Firewall marks: commands of iptables in the recordings, as `pvsadm mark` has them.
//!
//! Only what is done before routing is understood: the table `mangle`, the chain PREROUTING. A word
//! that is not understood is an error, so that no rule is taken for another.

use anyhow::{Context, Result, bail, ensure};

/// The words behind `pvsadm` that do what a command of iptables does.
///
/// # Errors
/// If a word has no meaning here.
pub(super) fn words(command: &[&str]) -> Result<Vec<String>> {
    let mut given = command.iter().copied();
    let program = given.next().unwrap_or_default();
    let any = match program {
        "iptables" => "0.0.0.0/0",
        "ip6tables" => "::/0",
        _ => bail!("another program: {program}"),
    };
    let (mut table, mut what, mut rule) = ("filter", Vec::new(), Vec::new());
    while let Some(word) = given.next() {
        let mut value = || given.next().with_context(|| format!("{word} has a value"));
        let mut option = |name: &str, value: &str| {
            rule.extend([format!("--{name}"), value.to_owned()]);
        };
        match word {
            "-w" | "--wait" => {}
            "-t" | "--table" => table = value()?,
            "-A" | "--append" => what = chain(value()?, &["add"])?,
            "-I" | "--insert" => what = chain(value()?, &["add", "--at", "1"])?,
            "-D" | "--delete" => what = chain(value()?, &["delete"])?,
            "-F" | "--flush" => what = chain(value()?, &["flush"])?,
            "-m" | "--match" => known(value()?, &["tcp", "udp", "sctp", "multiport"])?,
            "-p" | "--protocol" => option("protocol", value()?),
            "-s" | "--source" => option("source", value()?),
            "-d" | "--destination" => option("destination", value()?),
            "-i" | "--in-interface" => option("interface", value()?),
            "--sport" | "--source-port" | "--sports" | "--source-ports" => {
                option("source-ports", value()?);
            }
            "--dport" | "--destination-port" | "--dports" | "--destination-ports" => {
                option("destination-ports", value()?);
            }
            "-j" | "--jump" => match value()? {
                "MARK" => {}
                "DROP" => rule.push("--drop".to_owned()),
                "ACCEPT" => rule.push("--accept".to_owned()),
                other => bail!("a target {other}"),
            },
            "--set-mark" | "--set-xmark" => option("set", value()?),
            _ => bail!("{word} of {program}"),
        }
    }
    ensure!(table == "mangle" && !what.is_empty(), "no chain of mangle");
    let has = |name: &str| rule.iter().any(|word| word == name);
    // Without addresses it is for the packets of its own family all the same.
    if !rule.is_empty() && !has("--source") && !has("--destination") {
        rule.extend(["--source".to_owned(), any.to_owned()]);
    }
    what.insert(0, "mark".to_owned());
    what.append(&mut rule);
    Ok(what)
}

/// What is done, if it is done to PREROUTING.
fn chain(chain: &str, does: &[&str]) -> Result<Vec<String>> {
    ensure!(chain == "PREROUTING", "a chain {chain}");
    Ok(does.iter().map(|word| (*word).to_owned()).collect())
}

/// A match that says nothing but how to read the words behind it.
fn known(name: &str, names: &[&str]) -> Result<()> {
    ensure!(names.contains(&name), "a match {name}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(line: &str) -> Result<String> {
        Ok(words(&line.split(' ').collect::<Vec<_>>())?.join(" "))
    }

    #[test]
    fn what_marks_before_routing_is_understood_and_nothing_else() {
        for (line, here) in [
            (
                "iptables -A PREROUTING -d 10.0.0.100 -p tcp -m multiport --dports 80,443 -j MARK --set-mark 1",
                "mark add --destination 10.0.0.100 --protocol tcp --destination-ports 80,443 --set 1",
            ),
            (
                "ip6tables -I PREROUTING -j MARK --set-xmark 0x2/0xff",
                "mark add --at 1 --set 0x2/0xff --source ::/0",
            ),
            ("iptables -F PREROUTING", "mark flush"),
        ] {
            let line = line.replacen(" -", " -t mangle -", 1);
            assert_eq!(translated(&line).unwrap(), here);
        }
        for other in [
            "iptables -t mangle -A PREROUTING ! -s 10.9.0.1 -j MARK --set-mark 1",
            "iptables -t mangle -A OUTPUT -j MARK --set-mark 1",
            "iptables -t nat -A PREROUTING -j MARK --set-mark 1",
            "iptables -A PREROUTING -j MARK --set-mark 1",
            "iptables -t mangle -A PREROUTING -m limit -j MARK --set-mark 1",
            "nft add rule",
        ] {
            assert!(translated(other).is_err(), "{other}");
        }
    }
}
