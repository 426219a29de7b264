//! An option as data: its names, its argument, which commands it is legal with, the name by which
//! messages call it, and its help. The tables are [`options`](super::options) and
//! [`words`](super::words).

use pvs_sched::config::{Method, Transport};

/// A command, as the first option of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `-A`.
    AddService,
    /// `-E`.
    EditService,
    /// `-D`.
    DeleteService,
    /// `-C`.
    Flush,
    /// `-L`.
    List,
    /// `-a`.
    AddServer,
    /// `-d`.
    DeleteServer,
    /// `-e`.
    EditServer,
    /// `--set`.
    Set,
    /// `--start-daemon`.
    StartDaemon,
    /// `--stop-daemon`.
    StopDaemon,
    /// `-R`.
    Restore,
    /// `-S`.
    Save,
    /// `-Z`.
    Zero,
}

impl Verb {
    /// The name by which messages call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AddService => "add-service",
            Self::EditService => "edit-service",
            Self::DeleteService => "delete-service",
            Self::Flush => "flush",
            Self::List => "list",
            Self::AddServer => "add-server",
            Self::DeleteServer => "delete-server",
            Self::EditServer => "edit-server",
            Self::Set => "set",
            Self::StartDaemon => "start-daemon",
            Self::StopDaemon => "stop-daemon",
            Self::Restore => "restore",
            Self::Save => "save",
            Self::Zero => "zero",
        }
    }
}

/// What an option means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// A command.
    Verb(Verb),
    /// `-h`.
    Help,
    /// `-v`.
    Version,
    /// An address service.
    Service(Transport),
    /// A mark service.
    Mark,
    /// `-s`.
    Scheduler,
    /// `-p`.
    Persistent,
    /// `-M`.
    Netmask,
    /// `-r`.
    Server,
    /// `-g`, `-i`, `-m`.
    Method(Method),
    /// `-w`.
    Weight,
    /// `-x`.
    UpperThreshold,
    /// `-y`.
    LowerThreshold,
    /// `--mcast-interface`.
    Interface,
    /// `--syncid`.
    SyncId,
    /// `-b`.
    SchedulerFlags,
    /// `-o`.
    OnePacket,
    /// `--pe`.
    Engine,
    /// `-6`.
    Ipv6,
    /// `--mcast-group`.
    Group,
    /// `--mcast-port`.
    GroupPort,
    /// `--mcast-ttl`.
    GroupTtl,
    /// `--sync-maxlen`.
    SyncMaxLen,
    /// `--tun-type`.
    TunnelKind,
    /// `--tun-port`.
    TunnelPort,
    /// `--tun-nocsum` and its kin, with their flag.
    TunnelChecksum(u16),
    /// `--json`, which ipvsadm does not have.
    Json,
    /// Only says that it was given: what a listing shows.
    Flag,
}

/// An option's argument, with its name in the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// None.
    None,
    /// It must be there.
    Required(&'static str),
    /// It may be left out.
    Optional(&'static str),
}

/// A row of the table.
#[derive(Debug)]
pub struct Row {
    /// `--long`.
    pub long: &'static str,
    /// `-l`.
    pub letter: Option<char>,
    /// Its argument.
    pub argument: Argument,
    /// Its meaning.
    pub tag: Tag,
    /// What messages call it; rows of one name exclude each other. Empty: may be repeated, is legal
    /// with every command.
    pub name: &'static str,
    /// For each command, in the order of [`Verb`]: `+` must be given, `x` illegal, `1` excludes the
    /// other ones of this kind, `.` optional.
    pub legality: &'static str,
    /// A line of help.
    pub help: &'static str,
}

impl Row {
    /// The legality with a command.
    #[must_use]
    pub fn legality(&self, verb: Verb) -> char {
        self.legality.chars().nth(verb as usize).unwrap_or('.')
    }
}

/// An option that asks for no command, as `-h`.
pub(super) const fn info(long: &'static str, letter: char, tag: Tag, help: &'static str) -> Row {
    let argument = Argument::None;
    Row {
        long,
        letter: Some(letter),
        argument,
        tag,
        name: "",
        legality: "",
        help,
    }
}

/// An option whose name in messages is its long name.
pub(super) const fn option(
    long: &'static str,
    letter: Option<char>,
    argument: Argument,
    tag: Tag,
    legality: &'static str,
    help: &'static str,
) -> Row {
    Row {
        long,
        letter,
        argument,
        tag,
        name: long,
        legality,
        help,
    }
}

/// An option without argument that only says that it was given.
pub(super) const fn flag(
    long: &'static str,
    letter: Option<char>,
    legality: &'static str,
    help: &'static str,
) -> Row {
    option(long, letter, Argument::None, Tag::Flag, legality, help)
}

/// An option of a word with an argument.
pub(super) const fn value(
    long: &'static str,
    letter: Option<char>,
    argument: &'static str,
    help: &'static str,
) -> Row {
    option(long, letter, required(argument), Tag::Flag, "", help)
}

/// An argument that must be there.
pub(super) const fn required(value: &'static str) -> Argument {
    Argument::Required(value)
}
