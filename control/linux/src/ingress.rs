//! Keeping the host's own stack away from a netdev that serves as a port (DPDK's af_packet and
//! af_xdp), and a second pvsd.
//!
//! A packet socket gets a copy: the host's stack receives every frame too, answers it, and was
//! seen forwarding each packet a second time. So such a netdev may not share the namespace of
//! the mirror taps, and gets an nft chain at the hook `ingress` that drops everything; packet
//! sockets come before that hook. IPv6 is switched off on it, since its own solicitations
//! would leave by the wire.
//!
//! The table is named after the netdev and holds, in the name of an empty chain, who made it and
//! what disable_ipv6 was before. So the next start after a kill -9 finds it, takes it over, and
//! restores the right value at its own exit.

use crate::{Error, Namespace, nft};
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

/// Table names begin with this.
const TABLE: &str = "pvs-";

/// Makes sure that a netdev which serves as a port is not in the namespace of its mirror tap.
///
/// # Errors
/// [`Error::SharedNamespace`], or the netdev does not exist in the namespace of the caller.
pub fn refuse_shared_namespace(ifname: &str, mirror: &Namespace) -> Result<(), Error> {
    if !conf_exists(ifname) {
        return Err(Error::NoInterface {
            ifname: ifname.to_owned(),
        });
    }
    let here = Namespace::current()?;
    if here.is_same(mirror) {
        return Err(Error::SharedNamespace {
            ifname: ifname.to_owned(),
            namespace: mirror.name().to_owned(),
        });
    }
    Ok(())
}

/// The drop of one netdev, removed when this is dropped.
#[derive(Debug)]
pub struct IngressDrop {
    ifname: String,
    note: Note,
    installed: bool,
}

/// What the table remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Note {
    pid: u32,
    /// When the process was started, in the kernel's ticks: a pid alone may be reused.
    started: u64,
    /// What disable_ipv6 was; `None` without IPv6.
    disable_ipv6: Option<bool>,
}

impl IngressDrop {
    /// Puts the drop on a netdev of the caller's namespace, taking over what a killed process left.
    /// Of two processes that do so at once one has it, and the other is told.
    ///
    /// # Errors
    /// The netdev does not exist, a living process has it as its port, or
    /// `nft` is missing or fails.
    pub fn install(ifname: &str) -> Result<Self, Error> {
        if !conf_exists(ifname) {
            return Err(Error::NoInterface {
                ifname: ifname.to_owned(),
            });
        }
        let old = read_note(ifname)?;
        refuse_another(ifname, old)?;
        let guard = take(ifname, old)?;
        if guard.note.disable_ipv6.is_some() {
            write_disable_ipv6(ifname, true)?;
        }
        Ok(guard)
    }

    /// Takes the drop away and gives IPv6 back what it was.
    ///
    /// # Errors
    /// `nft` fails.
    pub fn remove(mut self) -> Result<(), Error> {
        self.installed = false;
        uninstall(&self.ifname, self.note)
    }

    /// Takes away what killed processes left on other netdevs of the caller's namespace than
    /// `kept`. Returns their names.
    ///
    /// # Errors
    /// `nft` is missing or fails.
    pub fn sweep(kept: &[&str]) -> Result<Vec<String>, Error> {
        let mut swept = Vec::new();
        let tables =
            nft::list("all interfaces", &["list", "tables", "netdev"])?.unwrap_or_default();
        let names = tables
            .lines()
            .filter_map(|line| line.strip_prefix("table netdev "));
        for table in names.filter(|name| name.starts_with(TABLE)) {
            let ifname = table.strip_prefix(TABLE).and_then(unescape);
            let Some(ifname) = ifname.filter(|name| !kept.contains(&name.as_str())) else {
                continue;
            };
            let Some(note) = read_note(&ifname)?.filter(|note| !note.is_alive()) else {
                continue;
            };
            // Its own first: another process may be about to take it over.
            match take(&ifname, Some(note)) {
                Ok(own) => own.remove()?,
                Err(Error::IngressInUse { .. }) => continue,
                Err(error) => return Err(error),
            }
            swept.push(ifname);
        }
        Ok(swept)
    }
}

/// A process that lives has the netdev, and is another one.
fn refuse_another(ifname: &str, note: Option<Note>) -> Result<(), Error> {
    match note.filter(|note| note.is_alive() && note.pid != std::process::id()) {
        None => Ok(()),
        Some(owner) => Err(Error::IngressInUse {
            ifname: ifname.to_owned(),
            pid: owner.pid,
        }),
    }
}

/// Puts the drop on, in place of what is known to be there: if that has changed meanwhile nothing
/// is done.
fn take(ifname: &str, old: Option<Note>) -> Result<IngressDrop, Error> {
    let disable_ipv6 = match old {
        Some(note) => note.disable_ipv6,
        None => read_disable_ipv6(ifname),
    };
    let pid = std::process::id();
    let note = Note {
        pid,
        started: started(pid).unwrap_or(0),
        disable_ipv6,
    };
    if let Err(error) = nft::apply(ifname, &ruleset(ifname, old, note)) {
        refuse_another(ifname, read_note(ifname)?)?;
        return Err(error);
    }
    Ok(IngressDrop {
        ifname: ifname.to_owned(),
        note,
        installed: true,
    })
}

impl Drop for IngressDrop {
    fn drop(&mut self) {
        if self.installed {
            if let Err(error) = uninstall(&self.ifname, self.note) {
                tracing::warn!(%error, "the ingress drop stays until the next start");
            }
        }
    }
}

/// IPv6 comes first: whoever is killed within this leaves the note of what it was.
fn uninstall(ifname: &str, note: Note) -> Result<(), Error> {
    if let Some(before) = note.disable_ipv6.filter(|_| conf_exists(ifname)) {
        write_disable_ipv6(ifname, before)?;
    }
    let removed = nft::apply(ifname, &removal(ifname, note));
    // Somebody may have flushed all rules of the host.
    match removed {
        Err(error) if read_note(ifname)? == Some(note) => Err(error),
        _ => Ok(()),
    }
}

impl Note {
    fn chain(self) -> String {
        let ipv6 = match self.disable_ipv6 {
            Some(true) => "1",
            Some(false) => "0",
            None => "none",
        };
        format!("of_{}_{}_disable_ipv6_{ipv6}", self.pid, self.started)
    }

    fn parse(chain: &str) -> Option<Self> {
        let mut parts = chain.strip_prefix("of_")?.splitn(3, '_');
        let pid = parts.next()?.parse().ok()?;
        let started = parts.next()?.parse().ok()?;
        let disable_ipv6 = match parts.next()?.strip_prefix("disable_ipv6_")? {
            "0" => Some(false),
            "1" => Some(true),
            _ => None,
        };
        Some(Self {
            pid,
            started,
            disable_ipv6,
        })
    }

    fn is_alive(self) -> bool {
        started(self.pid).is_some_and(|at| at == self.started)
    }
}

/// When a process was started: the 22nd field of /proc/PID/stat, the 20th behind the name's
/// bracket. One that is dead, and that its parent has not asked about yet, is none.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let dead = matches!(fields.next()?, "Z" | "X");
    let at = fields.nth(18)?.parse().ok()?;
    (!dead).then_some(at)
}

fn read_note(ifname: &str) -> Result<Option<Note>, Error> {
    let listing =
        nft::list(ifname, &["list", "table", "netdev", &table(ifname)])?.unwrap_or_default();
    let chains = listing
        .lines()
        .filter_map(|line| line.trim().strip_prefix("chain ")?.strip_suffix(" {"));
    Ok(chains.into_iter().find_map(Note::parse))
}

/// Fails whole unless the table is that process's.
fn removal(ifname: &str, note: Note) -> String {
    let (table, mark) = (table(ifname), note.chain());
    format!("delete chain netdev {table} {mark}\ndelete table netdev {table}\n")
}

/// Fails whole if another table is there than the old one, which may be none.
fn ruleset(ifname: &str, old: Option<Note>, note: Note) -> String {
    let before = old.map_or_else(String::new, |old| removal(ifname, old));
    let (table, mark) = (table(ifname), note.chain());
    format!(
        "{before}create table netdev {table}\n\
         table netdev {table} {{\n\
         \tchain {mark} {{\n\t}}\n\
         \tchain ingress {{\n\
         \t\ttype filter hook ingress device \"{ifname}\" priority -500; policy drop;\n\
         \t}}\n\
         }}\n"
    )
}

/// The table of a netdev: nft's words hold letters, digits and `.`; any
/// other byte is written `_xx`.
fn table(ifname: &str) -> String {
    let mut name = TABLE.to_owned();
    for byte in ifname.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' => name.push(char::from(byte)),
            _ => name.push_str(&format!("_{byte:02x}")),
        }
    }
    name
}

fn unescape(name: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first == b'_' {
            let (hex, behind) = rest.split_first_chunk::<2>()?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
            rest = behind;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Each netdev of the calling thread's namespace has a directory there.
fn conf(ifname: &str, family: &str) -> PathBuf {
    PathBuf::from(format!("/proc/sys/net/{family}/conf/{ifname}"))
}

fn conf_exists(ifname: &str) -> bool {
    !ifname.is_empty()
        && !ifname.contains('/')
        && !ifname.starts_with('.')
        && conf(ifname, "ipv4").is_dir()
}

fn read_disable_ipv6(ifname: &str) -> Option<bool> {
    let text = fs::read_to_string(conf(ifname, "ipv6").join("disable_ipv6")).ok()?;
    Some(text.trim() != "0")
}

fn write_disable_ipv6(ifname: &str, disable: bool) -> Result<(), Error> {
    let path = conf(ifname, "ipv6").join("disable_ipv6");
    match fs::write(&path, if disable { "1" } else { "0" }) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(source) => Err(Error::Sysctl { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_survive_as_names_of_chains() {
        for disable_ipv6 in [None, Some(false), Some(true)] {
            let note = Note {
                pid: 4711,
                started: 123_456,
                disable_ipv6,
            };
            assert_eq!(Note::parse(&note.chain()), Some(note));
        }
        for other in ["ingress", "of_", "of_1_2", "of_x_2_disable_ipv6_0"] {
            assert_eq!(Note::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_process_is_told_from_a_later_one_with_its_number() {
        let pid = std::process::id();
        let started = started(pid).unwrap();
        assert!(
            Note {
                pid,
                started,
                disable_ipv6: None
            }
            .is_alive()
        );
        assert!(
            !Note {
                pid,
                started: started + 1,
                disable_ipv6: None
            }
            .is_alive()
        );
    }

    #[test]
    fn a_dead_process_is_dead_before_its_parent_asks() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while started(child.id()).is_some() {
            assert!(std::time::Instant::now() < until);
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(std::path::Path::new(&format!("/proc/{}", child.id())).exists());
        child.wait().unwrap();
    }

    #[test]
    fn tables_are_named_after_their_netdev() {
        for (ifname, name) in [
            ("eth0", "pvs-eth0"),
            ("a-b.100", "pvs-a-b.100"),
            ("x_y@z", "pvs-x_5fy_40z"),
        ] {
            assert_eq!(table(ifname), name);
            assert_eq!(unescape(name.strip_prefix(TABLE).unwrap()).unwrap(), ifname);
        }
        assert_eq!(unescape("_"), None);
        assert_eq!(unescape("_zz"), None);
    }
}
