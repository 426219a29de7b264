//! The tunables: what `/proc/sys/net/ipv4/vs` sets in the kernel, by the kernel's names and with
//! its defaults, and a few of pvs's own behind them.
//!
//! A table of plain integers within the snapshot, so that a worker reads one as it reads a timeout.
//! Which values the kernel takes is said here; what a tunable does is said at its user.

use core::fmt;

/// What a tunable is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does what it does in the kernel.
    Full,
    /// It is kept and shown: it belongs to what the director leaves to others, or does not do yet.
    Kept,
    /// Only its default can be had: another value would have to do something
    /// that the director can't.
    Fixed,
    /// The kernel has no such tunable.
    Own,
}

/// A tunable, as documentation and listings want it.
#[derive(Debug)]
pub struct Tunable {
    /// Its name, under `net.ipv4.vs` in the kernel.
    pub name: &'static str,
    /// Least and greatest value; what the kernel refuses is outside.
    pub range: (i32, i32),
    /// What it is good for.
    pub effect: Effect,
    /// What it does, in a sentence or two.
    pub about: &'static str,
    get: fn(&Tunables) -> i32,
    set: fn(&mut Tunables, i32),
}

/// Why a tunable was not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TunableError {
    /// There is none of this name.
    Unknown,
    /// The value is no number, or not two of them where two are needed.
    NotANumber,
    /// The value is outside of what the kernel takes.
    OutOfRange(i32, i32),
    /// The kernel takes only powers of two, or a first number below the second.
    Invalid,
    /// Only the default can be had.
    Fixed(i32),
}

impl fmt::Display for TunableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("no such tunable: `pvsadm sysctl' lists those there are"),
            Self::NotANumber => f.write_str("a number is expected"),
            Self::OutOfRange(least, most) => write!(f, "{least} to {most} are possible"),
            Self::Invalid => f.write_str("the kernel does not take this value either"),
            Self::Fixed(only) => write!(f, "pvsd has this only as {only}"),
        }
    }
}

const ANY: (i32, i32) = (i32::MIN, i32::MAX);
const NATURAL: (i32, i32) = (0, i32::MAX);
const SWITCH: (i32, i32) = (0, 1);
/// Off, automatic and idle, automatic and active, always.
const DEFENCE: (i32, i32) = (0, 3);

macro_rules! tunables {
    ($($(#[doc = $doc:literal])+ $name:ident = $default:literal, $range:expr, $effect:ident;)+) => {
        /// Every tunable's value. A switch is on if it is not 0, as in the kernel.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Tunables {
            $($(#[doc = $doc])+ pub $name: i32,)+
            /// After how many packets of a connection it is synchronised first, and after how many
            /// more again; kept for synchronisation, which is not built.
            pub sync_threshold: [i32; 2],
        }

        impl Default for Tunables {
            fn default() -> Self {
                Self { $($name: $default,)+ sync_threshold: [3, 50] }
            }
        }

        /// Every tunable but `sync_threshold`, which is two numbers.
        pub static TUNABLES: &[Tunable] = &[
            $(Tunable {
                name: stringify!($name),
                range: $range,
                effect: Effect::$effect,
                about: concat!($($doc),+).trim_ascii(),
                get: |tunables| tunables.$name,
                set: |tunables, value| tunables.$name = value,
            },)+
        ];
    };
}

tunables! {
    /// One of so many packets that begin a connection is dropped while `drop_packet` is 3.
    am_droprate = 10, ANY, Full;
    /// Memory is short when less than this many pages of 4 KiB of a worker's connection table are
    /// free, but at most a sixteenth of the table: what the automatic modes of `drop_entry`,
    /// `drop_packet` and `secure_tcp` go by.
    amemthresh = 1024, ANY, Full;
    /// A backup director takes no packets; kept for synchronisation, which is not built.
    backup_only = 0, ANY, Kept;
    /// A packet of a firewall-mark service without a server goes its own way
    /// to where it was addressed.
    cache_bypass = 0, ANY, Full;
    /// What a SYN does to a connection of the same endpoints that is over: 0 nothing, else it
    /// begins anew; 2 also where a connection that is closing has no replies here.
    conn_reuse_mode = 1, ANY, Full;
    /// Netfilter's connection tracking of balanced packets. There is none in the way of a packet.
    conntrack = 0, SWITCH, Fixed;
    /// Embryonic and idle connections are dropped each second: 0 never, 1 and 2 while
    /// memory is short, 3 always.
    drop_entry = 0, DEFENCE, Full;
    /// Some packets that would begin a connection are dropped: 0 never, 1 and 2 while
    /// memory is short, 3 always.
    drop_packet = 0, DEFENCE, Full;
    /// A packet of a connection whose server was removed ends it, and is treated
    /// as the first of a new one.
    expire_nodest_conn = 0, ANY, Full;
    /// A template of a server of weight 0 is not used any more.
    expire_quiescent_template = 0, ANY, Full;
    /// Packets of other protocols in tunnels are left alone; all packets that are not balanced are.
    ignore_tunneled = 0, ANY, Kept;
    /// A reply of a server that belongs to no connection is answered by port unreachable.
    nat_icmp_send = 0, ANY, Full;
    /// Too long a packet that may not be cut is answered by its sender's being
    /// told; else a tunnel cuts it.
    pmtu_disc = 1, ANY, Full;
    /// Rates are estimated.
    run_estimation = 1, ANY, Full;
    /// An ICMP message about a connection that there is not begins one.
    schedule_icmp = 0, ANY, Full;
    /// TCP's stricter table of states, in which only the server establishes: 0 never, 1 and 2 while
    /// memory is short, 3 always.
    secure_tcp = 0, DEFENCE, Full;
    /// Any packet of SCTP begins a connection.
    sloppy_sctp = 0, ANY, Full;
    /// Any segment of TCP but a reset begins a connection.
    sloppy_tcp = 0, ANY, Full;
    /// Replies that the director routes are routed anew once they are
    /// translated; here all of them are.
    snat_reroute = 1, ANY, Kept;
    /// Templates alone are synchronised; kept for synchronisation, which is not built.
    sync_persist_mode = 0, ANY, Kept;
    /// Sockets of synchronisation, a power of two up to 64; kept for
    /// synchronisation, which is not built.
    sync_ports = 1, (1, 64), Kept;
    /// Messages of synchronisation that may wait, which the kernel derives from its memory; kept
    /// for synchronisation, which is not built.
    sync_qlen_max = 0, ANY, Kept;
    /// Seconds after which a connection is synchronised again; kept for
    /// synchronisation, which is not built.
    sync_refresh_period = 0, NATURAL, Kept;
    /// How often a message of synchronisation is repeated; kept for
    /// synchronisation, which is not built.
    sync_retries = 0, (0, 3), Kept;
    /// Socket buffer of synchronisation; kept for synchronisation, which is not built.
    sync_sock_size = 0, NATURAL, Kept;
    /// Version of the protocol of synchronisation; kept for synchronisation, which is not built.
    sync_version = 1, SWITCH, Kept;
    /// Seconds for which the scheduler lblc remembers a destination that is not used.
    lblc_expiration = 86_400, NATURAL, Full;
    /// Seconds after which the scheduler lblcr takes a server out of a destination's set.
    lblcr_expiration = 86_400, NATURAL, Full;
    /// ICMP errors that a worker makes in a second at most:
    /// `net.ipv4.icmp_msgs_per_sec` of the kernel.
    icmp_msgs_per_sec = 1000, NATURAL, Own;
    /// ICMP errors that a worker makes at once: `net.ipv4.icmp_msgs_burst` of the kernel.
    icmp_msgs_burst = 50, NATURAL, Own;
    /// The kernel's behaviour also where pvs has a better one: which those
    /// are says IPVS-DIFFERENCES.
    strict_compat = 0, SWITCH, Own;
}

const SYNC_THRESHOLD: &str = "sync_threshold";

impl Tunables {
    /// Sets one by name, from a text as it is written under /proc/sys.
    ///
    /// # Errors
    /// [`TunableError`]; then nothing has changed.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), TunableError> {
        let number = |text: &str| text.parse::<i32>().map_err(|_| TunableError::NotANumber);
        if name == SYNC_THRESHOLD {
            let mut numbers = text.split_ascii_whitespace().map(number);
            let (Some(first), Some(period), None) =
                (numbers.next(), numbers.next(), numbers.next())
            else {
                return Err(TunableError::NotANumber);
            };
            let (first, period) = (first?, period?);
            if first < 0 || period < 0 || (first >= period && period != 0) {
                return Err(TunableError::Invalid);
            }
            self.sync_threshold = [first, period];
            return Ok(());
        }
        let tunable = TUNABLES.iter().find(|t| t.name == name);
        let tunable = tunable.ok_or(TunableError::Unknown)?;
        let value = number(text.trim_ascii())?;
        let (least, most) = tunable.range;
        if !(least..=most).contains(&value) {
            return Err(TunableError::OutOfRange(least, most));
        }
        if name == "sync_ports" && value.count_ones() != 1 {
            return Err(TunableError::Invalid);
        }
        let default = (tunable.get)(&Self::default());
        if tunable.effect == Effect::Fixed && value != default {
            return Err(TunableError::Fixed(default));
        }
        (tunable.set)(self, value);
        Ok(())
    }

    /// Names and values, as /proc/sys shows them: the kernel's in
    /// alphabetical order, then pvs's own.
    pub fn list(&self) -> impl Iterator<Item = (&'static str, String)> {
        let pair = {
            let [first, period] = self.sync_threshold;
            (SYNC_THRESHOLD, format!("{first}\t{period}"))
        };
        let single = TUNABLES
            .iter()
            .map(|t| (t, (t.name, (t.get)(self).to_string())));
        let (own, mut kernels): (Vec<_>, Vec<_>) =
            single.partition(|(t, _)| t.effect == Effect::Own);
        kernels.sort_by_key(|(t, _)| t.name);
        let (before, behind): (Vec<_>, Vec<_>) = kernels
            .into_iter()
            .map(|(_, shown)| shown)
            .partition(|(name, _)| *name < SYNC_THRESHOLD);
        let own = own.into_iter().map(|(_, shown)| shown);
        before.into_iter().chain([pair]).chain(behind).chain(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_default_and_takes_it_back() {
        let defaults = Tunables::default();
        let mut tunables = defaults.clone();
        let shown: Vec<_> = defaults.list().collect();
        assert_eq!(shown.len(), TUNABLES.len() + 1);
        for (name, value) in &shown {
            tunables.set(name, value).unwrap();
        }
        assert_eq!(tunables, defaults);
        let kernels = shown
            .iter()
            .position(|(name, _)| *name == "icmp_msgs_per_sec");
        let names: Vec<_> = shown[..kernels.unwrap()].iter().map(|(n, _)| *n).collect();
        assert!(names.is_sorted(), "{names:?}");
        assert!(shown.contains(&("sync_threshold", "3\t50".to_owned())));
    }

    #[test]
    fn what_the_kernel_refuses_is_refused_and_changes_nothing() {
        let mut tunables = Tunables::default();
        let mut refused = |name, text| tunables.set(name, text).unwrap_err();
        assert_eq!(refused("conn_reuse", "1"), TunableError::Unknown);
        assert_eq!(refused("secure_tcp", "on"), TunableError::NotANumber);
        assert_eq!(refused("secure_tcp", ""), TunableError::NotANumber);
        assert_eq!(refused("secure_tcp", "4"), TunableError::OutOfRange(0, 3));
        assert_eq!(refused("drop_entry", "-1"), TunableError::OutOfRange(0, 3));
        assert_eq!(refused("sync_ports", "3"), TunableError::Invalid);
        assert_eq!(refused("sync_threshold", "3"), TunableError::NotANumber);
        assert_eq!(refused("sync_threshold", "50 3"), TunableError::Invalid);
        assert_eq!(refused("conntrack", "1"), TunableError::Fixed(0));
        assert_eq!(tunables, Tunables::default());
        tunables.set("sync_threshold", "0 0").unwrap();
        tunables.set("conn_reuse_mode", " -7\n").unwrap();
        assert_eq!(
            (tunables.sync_threshold, tunables.conn_reuse_mode),
            ([0, 0], -7)
        );
    }
}
