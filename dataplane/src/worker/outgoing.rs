//! Connections that servers begin: the calls of a service's SIP servers.
//!
//! As `__ip_vs_rs_conn_out` and `ip_vs_new_conn_out`: a message of a masqueraded server that
//! belongs to no connection begins one towards its receiver, as if that were a client, and leaves
//! from the virtual address. A template has the call lead to the server from then on. Weight and
//! thresholds are for what a scheduler picks. What has no Call-ID passes as it is.

use super::View;
use super::connect::{Failed, engine_data, enter, is_in_service};
use super::decide::{began, ended, established, reply};
use super::hops::{HopFamily, ServerHops};
use super::lane::{Item, Verdict};
use crate::port::Buf;
use crate::reason::DropReason;
use crate::table::{Direction, Entry, Table, Tuple};
use pvs_proto::state::Timeouts;
use pvs_proto::{Endpoint, Meta, Ticks};
use pvs_sched::persistence::TemplateKey;
use pvs_sched::templates::{EngineData, TemplateRef};
use pvs_sched::{Flow, Method, ServerIndex, Service, ServiceFlags, ServiceKey};

/// What becomes of a packet without a connection, if it begins one from its
/// server; `None` if it does not.
#[cold]
#[inline(never)]
pub(super) fn begin<F: HopFamily, B: Buf>(
    view: &View<'_>,
    table: &mut Table<F>,
    hops: &mut ServerHops,
    item: &Item<F>,
    buf: &mut B,
) -> Option<Verdict> {
    let meta = &item.meta;
    let from = (meta.protocol, meta.src.addr.into(), meta.src.port);
    let (service, server) = view.config.caller(from)?;
    // The kernel's router judges it before its hook sees it.
    if meta.ttl <= 1 || view.fib.is_local::<F>(meta.dst.addr) {
        return None;
    }
    let virtual_ = virtual_end::<F>(service)?;
    let data = engine_data(service, meta, buf).ok()?;
    let template = match template::<F>(view, service, server, meta, virtual_, &data) {
        Ok(template) => template,
        Err(reason) => return Some(Verdict::drop(reason)),
    };
    let as_request = Tuple {
        protocol: meta.protocol,
        src: meta.dst,
        dst: virtual_,
    };
    let mut entry = Entry::new(
        &as_request,
        meta.src,
        Method::Masquerade,
        server,
        service.index,
        Timeouts::NEW,
    );
    entry.set_template(template);
    if service.config.flags.has(ServiceFlags::ONE_PACKET) {
        return Some(once(view, hops, entry, meta, buf));
    }
    // The newest connection of a client has its packets, as in the kernel.
    if let Some((old, Direction::Request)) = table.lookup(&as_request) {
        if let Some(old) = table.remove(old) {
            ended(view, &old);
        }
    }
    match enter(view, table, entry) {
        Ok(at) => {
            let direction = Direction::Reply;
            Some(established(view, table, hops, item, buf, at, direction))
        }
        Err(refused) => {
            F::templates(view).release(template);
            match refused.into() {
                Failed::Dropped(reason) => Some(Verdict::drop(reason)),
                Failed::NoServer => None,
            }
        }
    }
}

/// The virtual address and port; of a service that takes all ports, or whatever has a mark,
/// there is none to send from.
fn virtual_end<F: HopFamily>(service: &Service) -> Option<Endpoint<F::Addr>> {
    match service.config.key {
        ServiceKey::Address { address, port, .. } if port != 0 => Some(Endpoint {
            addr: F::addr(address)?,
            port,
        }),
        _ => None,
    }
}

/// The template of the call, which leads to this server from now on.
fn template<F: HopFamily>(
    view: &View<'_>,
    service: &Service,
    server: ServerIndex,
    meta: &Meta<F>,
    virtual_: Endpoint<F::Addr>,
    data: &EngineData,
) -> Result<TemplateRef, DropReason> {
    let Some(persistence) = service.config.persistence else {
        return Ok(TemplateRef::NONE);
    };
    let flow = Flow {
        client: meta.dst,
        virtual_,
        now: view.now,
    };
    let key = TemplateKey::of(service, persistence, meta.protocol, &flow);
    let hash = view.servers.templates.hash::<F>(&key, data.bytes());
    let mut held = F::templates(view)
        .hold(hash)
        .ok_or(DropReason::TemplatesBusy)?;
    let known = held.find(&key, data, view.now);
    let place = match known {
        Some((place, of)) if of == server && is_in_service(view, of) => place,
        _ => {
            if let Some((place, _)) = known {
                held.invalidate(place);
            }
            let timeout = Ticks::from_secs(persistence.timeout_secs);
            held.insert((key, data), (server, meta.src.port), timeout, view.now)
                .ok_or(DropReason::TemplatesFull)?
        }
    };
    held.refresh(place, view.now);
    Ok(held.adopt(place))
}

/// One-packet scheduling: the connection is over when its packet is forwarded.
fn once<F: HopFamily, B: Buf>(
    view: &View<'_>,
    hops: &mut ServerHops,
    mut entry: Entry<F>,
    meta: &Meta<F>,
    buf: &mut B,
) -> Verdict {
    began(view, entry.server_index());
    let verdict = reply(view, hops, &mut entry, meta, buf, true);
    ended(view, &entry);
    verdict
}
