//! What would become of a packet: the same questions in the same order as a
//! worker's, and nothing changes.

use super::slots::is_maglev;
use super::{Store, is_local};
use crate::command::ExplainRequest;
use crate::explain::{Because, Candidate, Explanation, TemplateSeen, WhyNot};
use crate::plane::{Lag, Plane};
use crate::reply::Refusal;
use pvs_proto::{Addr4, Addr6, Endpoint, Ticks, V4, V6};
use pvs_sched::config::{SchedulerName, ServerKey, ServiceKey};
use pvs_sched::marks::{Judged, Judgement};
use pvs_sched::snapshot::FTP_DATA;
use pvs_sched::{AddressFamily, Flow, Load, Loads, Server, ServerIndex, Service};
use std::net::IpAddr;

/// Connections as the workers have them.
struct Live<'a>(&'a dyn Plane);

impl Loads for Live<'_> {
    fn load(&self, server: ServerIndex) -> Load {
        self.0.load(server)
    }

    fn overloaded(&self, server: ServerIndex) -> bool {
        self.0.overloaded(server)
    }
}

impl Store {
    pub(super) fn explain(
        &self,
        request: &ExplainRequest,
        plane: &dyn Plane,
    ) -> Result<Explanation, Refusal> {
        let silent = |Lag { worker }| Refusal::Silent { worker };
        let (client, virtual_) = (request.client, request.virtual_);
        let protocol = request.protocol.protocol();
        let wanted = ServiceKey::Address {
            protocol: request.protocol,
            address: virtual_.ip(),
            port: virtual_.port(),
        };
        let judgement = self.judge(request);
        let (owner, connection) = plane
            .connection(protocol, client, virtual_)
            .map_err(silent)?;
        let mut told = Explanation {
            protocol: protocol.name().to_owned(),
            client: Some(client),
            virtual_: Some(virtual_),
            is_local: is_local(&wanted, &*self.locality),
            owner,
            connection,
            ..Explanation::default()
        };
        match judgement {
            Judgement::Mark(mark) => told.mark = mark,
            Judgement::Drop => {
                (told.dropped, told.because) = (true, Because::Dropped);
                return Ok(told);
            }
        }
        let service = self.taken_by(request, told.mark).filter(|_| told.is_local);
        let Some(service) = service else {
            return Ok(told);
        };
        told.service = Some(service.config.key);
        service
            .config
            .scheduler
            .as_str()
            .clone_into(&mut told.scheduler);
        told.mh_slots = Some(service).filter(is_maglev).map(Service::slots);
        told.persistence_secs = service.config.persistence.map(|p| p.timeout_secs);
        if service.config.persistence.is_some() {
            let seen = plane.template(service, protocol, client, virtual_);
            told.template = seen.and_then(|seen| self.template_seen(seen));
        }
        let chosen = self.choose(&mut told, service, request, plane);
        told.server = chosen;
        if let Some(server) = chosen {
            told.way = plane.way(server.address).map_err(silent)?;
        }
        let because = told.because;
        let candidate = |server: &Server| {
            let load = plane.load(server.index);
            let why_not = why_not(server, chosen, because, service.config.scheduler, plane);
            Candidate {
                server: server.config.key,
                method: server.config.method,
                weight: server.config.weight,
                active: load.active,
                inactive: load.inactive,
                why_not,
            }
        };
        told.servers = service.servers().iter().map(candidate).collect();
        Ok(told)
    }

    fn judge(&self, request: &ExplainRequest) -> Judgement {
        let (client, virtual_) = (request.client, request.virtual_);
        let protocol = request.protocol.protocol();
        let interface = request.interface.as_deref().unwrap_or_default();
        let ports = (client.port(), virtual_.port());
        match (client.ip(), virtual_.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => self.next.marks.judge(&Judged {
                protocol,
                source: (Addr4::from(from), ports.0),
                destination: (Addr4::from(to), ports.1),
                interface,
            }),
            (IpAddr::V6(from), IpAddr::V6(to)) => self.next.marks.judge(&Judged {
                protocol,
                source: (Addr6::from(from), ports.0),
                destination: (Addr6::from(to), ports.1),
                interface,
            }),
            _ => Judgement::Mark(0),
        }
    }

    fn taken_by(&self, request: &ExplainRequest, mark: u32) -> Option<&Service> {
        let protocol = request.protocol.protocol();
        let port = request.virtual_.port();
        match request.virtual_.ip() {
            IpAddr::V4(a) => {
                let marked = self.next.marked(mark, AddressFamily::Ipv4);
                marked.or_else(|| self.next.serving::<V4>(protocol, a.into(), port))
            }
            IpAddr::V6(a) => {
                let marked = self.next.marked(mark, AddressFamily::Ipv6);
                marked.or_else(|| self.next.serving::<V6>(protocol, a.into(), port))
            }
        }
    }

    fn template_seen(
        &self,
        (server, expires_secs, is_assured): (ServerIndex, u32, bool),
    ) -> Option<TemplateSeen> {
        let config = self.next.server(server)?;
        let is_quiescent = self.next.tunables.expire_quiescent_template != 0 && config.weight == 0;
        Some(TemplateSeen {
            server: config.key,
            expires_secs,
            is_assured,
            is_usable: self.next.is_available(server) && !is_quiescent,
        })
    }

    /// The server, and why that one.
    fn choose(
        &self,
        told: &mut Explanation,
        service: &Service,
        request: &ExplainRequest,
        plane: &dyn Plane,
    ) -> Option<ServerKey> {
        if let Some(connection) = &told.connection {
            told.because = Because::Connection;
            return Some(ServerKey {
                address: connection.server.ip(),
                port: connection.server.port(),
            });
        }
        if let Some(template) = told.template.as_ref().filter(|t| t.is_usable) {
            told.because = Because::Template;
            return Some(template.server);
        }
        let own = service.config.key.port();
        let is_others = own != 0 && own != request.virtual_.port();
        let is_data = request.client.port() == FTP_DATA;
        let picks = !is_data && (!is_others || service.config.persistence.is_some());
        let picked = self.peek(service, request, plane).filter(|_| picks);
        told.because = match picked {
            Some(_) => Because::Scheduler,
            None => Because::NoServer,
        };
        picked.map(|server| server.config.key)
    }

    fn peek<'a>(
        &self,
        service: &'a Service,
        request: &ExplainRequest,
        plane: &dyn Plane,
    ) -> Option<&'a Server> {
        let (client, virtual_) = (request.client, request.virtual_);
        let tunables = &self.next.tunables;
        // What lblc and lblcr remember is as old as it was when it was used last.
        let now = Ticks(0);
        match (client.ip(), virtual_.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let flow = Flow {
                    client: Endpoint {
                        addr: Addr4::from(from),
                        port: client.port(),
                    },
                    virtual_: Endpoint {
                        addr: Addr4::from(to),
                        port: virtual_.port(),
                    },
                    now,
                };
                service.peek(&flow, tunables, &Live(plane))
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let flow = Flow {
                    client: Endpoint {
                        addr: Addr6::from(from),
                        port: client.port(),
                    },
                    virtual_: Endpoint {
                        addr: Addr6::from(to),
                        port: virtual_.port(),
                    },
                    now,
                };
                service.peek(&flow, tunables, &Live(plane))
            }
            _ => None,
        }
    }
}

/// What keeps a server from being the one.
fn why_not(
    server: &Server,
    chosen: Option<ServerKey>,
    because: Because,
    scheduler: SchedulerName,
    plane: &dyn Plane,
) -> Option<WhyNot> {
    use SchedulerName as S;
    if chosen == Some(server.config.key) {
        return None;
    }
    Some(match because {
        Because::Connection | Because::Template => WhyNot::Remembered,
        _ if server.config.weight == 0 && !matches!(scheduler, S::Dh) => WhyNot::Weight,
        _ if plane.overloaded(server.index) => WhyNot::Threshold,
        _ => match scheduler {
            S::Rr | S::Wrr | S::Twos | S::None => WhyNot::Turn,
            S::Dh | S::Sh | S::Mh | S::Lblc | S::Lblcr => WhyNot::Hash,
            S::Lc | S::Wlc | S::Sed | S::Nq | S::Fo | S::Ovf => WhyNot::Load,
        },
    })
}
