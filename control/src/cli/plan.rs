//! From an argument vector to a validated command, or to the words that ipvsadm refuses it with.

use super::draft::{Draft, HOST_MASK_V4, HOST_MASK_V6, timeout};
use super::legality::{judge_command, judge_tunnel, mentions_tunnel, scheduler_flags};
use super::names::Names;
use super::options::{Tag, Verb};
use super::tokens::{Token, Tokens};
use crate::command::{Command, DaemonRequest, DaemonRole, ServiceRequest};
use crate::listing::{Columns, Format};
use pvs_sched::config::{
    AddressFamily, Method, Persistence, ServerConfig, ServerKey, ServiceKey, Transport,
};
use std::net::IpAddr;

/// ipvsadm's default scheduler.
const SCHEDULER: &str = "wlc";
/// ipvsadm's default multicast device.
const INTERFACE: &str = "eth0";

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Print the help.
    Help,
    /// Print the version.
    Version,
    /// Carry out what standard input says.
    Restore,
    /// Ask pvsd.
    Ask {
        /// What to ask.
        command: Command,
        /// How to show the answer.
        show: Show,
    },
}

/// How an answer is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Not at all, unless it is a refusal.
    Nothing,
    /// As a table.
    Table(Format),
    /// As the commands that make it up.
    Rules(Format),
}

/// A command line that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// What it says is wrong; ends `-R`.
    #[error("{0}")]
    Wrong(String),
    /// It could not be read as options; `-R` goes on with the next line.
    #[error("{0}")]
    Unreadable(String),
    /// It does not begin with a command.
    #[error("Try `{0} -h' or '{0} --help' for more information.")]
    NoCommand(String),
}

impl Failure {
    pub(super) fn wrong(text: impl Into<String>) -> Self {
        Self::Wrong(text.into())
    }

    /// The exit status.
    #[must_use]
    pub const fn status(&self) -> u8 {
        match self {
            Self::Wrong(_) => 2,
            Self::Unreadable(_) | Self::NoCommand(_) => 255,
        }
    }

    /// `-R` does not go on.
    #[must_use]
    pub const fn ends_restore(&self) -> bool {
        !matches!(self, Self::Unreadable(_))
    }
}

/// Reads an argument vector, the program's name first. No argument at all lists the table.
///
/// # Errors
/// [`Failure`].
pub fn plan(argv: &[String], names: &dyn Names) -> Result<Plan, Failure> {
    let (program, words) = match argv.split_first() {
        Some((program, words)) => (program.as_str(), words),
        None => ("pvsadm", argv),
    };
    if words.is_empty() {
        let format = Format {
            numeric: false,
            ..Format::default()
        };
        return Ok(Plan::Ask {
            command: Command::ListServices,
            show: Show::Table(format),
        });
    }
    let mut tokens = Tokens::new(words.iter().cloned());
    let no_command = || Failure::NoCommand(program.to_owned());
    let first = tokens
        .next_option()
        .map_err(|_| no_command())?
        .ok_or_else(no_command)?;
    let verb = match first.row.tag {
        Tag::Verb(verb) => verb,
        Tag::Help => return Ok(Plan::Help),
        Tag::Version => return Ok(Plan::Version),
        _ => return Err(no_command()),
    };
    let role = daemon_role(verb, &first)?;
    let mut draft = Draft::new();
    loop {
        match tokens.next_option() {
            Ok(Some(token)) => draft.take(&token, names)?,
            Ok(None) => break,
            Err(error) => return Err(Failure::Unreadable(error.to_string())),
        }
    }
    let timeouts = if verb == Verb::Set {
        Some(three_timeouts(&mut tokens)?)
    } else {
        None
    };
    if let Some(word) = tokens.next_left_over() {
        return Err(Failure::wrong(format!("unexpected argument {word}")));
    }
    if let Some(text) = draft.scheduler_flags.take() {
        let scheduler = if draft.scheduler.is_empty() {
            SCHEDULER
        } else {
            &draft.scheduler
        };
        draft.flags = draft.flags.with(scheduler_flags(scheduler, &text)?);
    }
    judge_command(verb, &draft)?;
    finish(verb, role, timeouts, draft)
}

/// The role of a daemon command's argument.
fn daemon_role(verb: Verb, token: &Token) -> Result<Option<DaemonRole>, Failure> {
    let said = match verb {
        Verb::StartDaemon => "illegal start-daemon parameter specified",
        Verb::StopDaemon => "illegal start_daemon specified",
        _ => return Ok(None),
    };
    let role = token.value.as_deref().and_then(DaemonRole::named);
    role.map(Some).ok_or_else(|| Failure::wrong(said))
}

/// The three words behind `--set`.
fn three_timeouts(tokens: &mut Tokens) -> Result<[u32; 3], Failure> {
    let words: Vec<_> = (0..3).map_while(|_| tokens.next_left_over()).collect();
    let [tcp, tcp_fin, udp] = words.as_slice() else {
        return Err(Failure::wrong("--set option requires 3 timeout values"));
    };
    let secs = |word: &String| timeout(Some(word), 0);
    Ok([secs(tcp)?, secs(tcp_fin)?, secs(udp)?])
}

/// Makes the command out of options that are legal with it.
fn finish(
    verb: Verb,
    role: Option<DaemonRole>,
    timeouts: Option<[u32; 3]>,
    draft: Draft,
) -> Result<Plan, Failure> {
    let needed = || Failure::wrong("the command names no service or server");
    let service = draft.service();
    let command = match verb {
        Verb::List => return list(&draft),
        Verb::Restore => return Ok(Plan::Restore),
        Verb::Save => {
            let show = Show::Rules(format(&draft));
            return Ok(Plan::Ask {
                command: Command::ListServices,
                show,
            });
        }
        Verb::AddService => Command::AddService(service_request(draft)?),
        Verb::EditService => Command::EditService(service_request(draft)?),
        Verb::DeleteService => Command::DeleteService(service.ok_or_else(needed)?),
        Verb::Flush => Command::Flush,
        Verb::AddServer => {
            let (service, server) = server_config(&draft)?;
            Command::AddServer { service, server }
        }
        Verb::EditServer => {
            let (service, server) = server_config(&draft)?;
            Command::EditServer { service, server }
        }
        Verb::DeleteServer => {
            let (service, server) = service.zip(draft.server()).ok_or_else(needed)?;
            Command::DeleteServer { service, server }
        }
        Verb::Zero => Command::Zero(service),
        Verb::Set => {
            let [tcp_secs, tcp_fin_secs, udp_secs] = timeouts.unwrap_or_default();
            Command::SetTimeouts {
                tcp_secs,
                tcp_fin_secs,
                udp_secs,
            }
        }
        Verb::StartDaemon => Command::StartDaemon(daemon(role.ok_or_else(needed)?, draft)),
        Verb::StopDaemon => Command::StopDaemon(role.ok_or_else(needed)?),
    };
    Ok(Plan::Ask {
        command,
        show: Show::Nothing,
    })
}

fn service_request(draft: Draft) -> Result<ServiceRequest, Failure> {
    let needed = || Failure::wrong("the command names no service");
    let key = draft.service().ok_or_else(needed)?;
    if let ServiceKey::Address { protocol, port, .. } = key {
        if port == 0 && draft.timeout_secs.is_none() {
            return Err(Failure::wrong(
                "Zero port specified for non-persistent service",
            ));
        }
        if draft.has("ops") && protocol != Transport::Udp {
            return Err(Failure::wrong(
                "One-Packet Scheduling is only for UDP virtual services",
            ));
        }
    }
    let scheduler = if draft.scheduler.is_empty() {
        SCHEDULER.to_owned()
    } else {
        draft.scheduler
    };
    Ok(ServiceRequest {
        key,
        scheduler,
        flags: draft.flags,
        persistence: draft.timeout_secs.map(|timeout_secs| Persistence {
            timeout_secs,
            netmask: draft.netmask,
        }),
        engine: draft.engine.filter(|e| !e.is_empty()),
    })
}

fn server_config(draft: &Draft) -> Result<(ServiceKey, ServerConfig), Failure> {
    let needed = || Failure::wrong("the command names no service or server");
    let (service, mut key) = draft.service().zip(draft.server()).ok_or_else(needed)?;
    let keeps_port =
        matches!(service, ServiceKey::Mark { .. }) || draft.method == Method::Masquerade;
    if !keeps_port {
        key = ServerKey {
            port: service.port(),
            ..key
        };
    }
    let tunnelled = draft.method == Method::Tunnel;
    if family(key.address) != service.family() && !tunnelled {
        let said = "Different address family is allowed only for tunneling servers";
        return Err(Failure::wrong(said));
    }
    if mentions_tunnel(draft) && !tunnelled {
        return Err(Failure::wrong(
            "Tunnel options conflict with forward method",
        ));
    }
    judge_tunnel(draft)?;
    let server = ServerConfig {
        key,
        method: draft.method,
        weight: draft.weight,
        upper_threshold: draft.upper_threshold,
        lower_threshold: draft.lower_threshold,
        tunnel: draft.tunnel,
    };
    Ok((service, server))
}

const fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Ipv4,
        IpAddr::V6(_) => AddressFamily::Ipv6,
    }
}

fn daemon(role: DaemonRole, draft: Draft) -> DaemonRequest {
    let interface = if draft.interface.is_empty() {
        INTERFACE.to_owned()
    } else {
        draft.interface
    };
    DaemonRequest {
        role,
        interface,
        sync_id: draft.sync_id,
        max_len: draft.sync_max_len,
        group: draft.group,
        port: draft.group_port,
        ttl: draft.group_ttl,
    }
}

fn list(draft: &Draft) -> Result<Plan, Failure> {
    let any = |names: &[&str]| names.iter().any(|name| draft.has(name));
    let no_services = any(&["connection", "timeout", "daemon"]);
    if (no_services && any(&["stats", "rate", "thresholds"]))
        || (any(&["timeout", "daemon"]) && draft.has("persistent-conn"))
    {
        return Err(Failure::wrong("options conflicts in the list command"));
    }
    let command = if draft.has("connection") {
        Command::ListConnections
    } else if let Some(service) = draft.service() {
        Command::ListService(service)
    } else if draft.has("timeout") {
        Command::ListTimeouts
    } else if draft.has("daemon") {
        Command::ListDaemons
    } else {
        Command::ListServices
    };
    Ok(Plan::Ask {
        command,
        show: Show::Table(format(draft)),
    })
}

fn format(draft: &Draft) -> Format {
    let columns = [
        ("stats", Columns::Stats),
        ("rate", Columns::Rate),
        ("thresholds", Columns::Thresholds),
        ("persistent-conn", Columns::PersistentConnections),
        ("tun-info", Columns::Tunnels),
    ];
    let columns = columns.into_iter().find(|(name, _)| draft.has(name));
    Format {
        columns: columns.map_or(Columns::Load, |(_, columns)| columns),
        numeric: draft.has("numeric"),
        exact: draft.has("exact"),
        sorted: !draft.has("nosort"),
        one_service: draft.service().is_some(),
        engines: draft.has("persistent-conn"),
    }
}

/// The mask of one client alone: it is not shown.
#[must_use]
pub(crate) const fn host_mask(family: AddressFamily) -> u32 {
    match family {
        AddressFamily::Ipv4 => HOST_MASK_V4,
        AddressFamily::Ipv6 => HOST_MASK_V6,
    }
}
