//! One connection: 64 bytes for IPv4, everything the established path needs in one cache line.
//!
//! IPv6 entries have the same fields in 128 bytes. The layout is fixed (`repr(C)`), because the
//! arena may be adopted by a later process; a test prints it.

use super::Tuple;
use super::index::Direction;
use crate::fib::HopIndex;
use pvs_proto::{Endpoint, Family, Protocol, Ticks, V4, V6};
use pvs_sched::templates::TemplateRef;
use pvs_sched::{Method, ServerIndex, ServiceIndex};
use zerocopy::{FromZeros, Immutable, KnownLayout};

/// No entry, and the end of a list.
pub(super) const NIL: u32 = u32::MAX;

/// An entry's place in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EntryIndex(pub(super) u32);

impl EntryIndex {
    /// No entry.
    pub const NONE: Self = Self(NIL >> 1);

    /// The entry in a place that [`Table::scan`](super::Table::scan) counts.
    #[must_use]
    pub const fn of_place(place: u32) -> Self {
        Self(place)
    }

    #[inline]
    pub(super) fn get(self) -> usize {
        self.0 as usize
    }
}

/// A connection's flags. The low three bits are the forwarding method, as in `ip_vs.h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromZeros, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Flags(u16);

impl Flags {
    const METHOD: u16 = 0x7;
    /// Replies do not pass the director (IP_VS_CONN_F_NOOUTPUT): the input-only state table holds.
    pub const NO_OUTPUT: Self = Self(0x80);
    /// Counted among the inactive connections (IP_VS_CONN_F_INACTIVE).
    pub const INACTIVE: Self = Self(0x100);
    /// Its template has been told that it was established.
    pub const ASSURED: Self = Self(0x4000);
    /// Made for one packet (IP_VS_CONN_F_ONE_PACKET).
    pub const ONE_PACKET: Self = Self(0x2000);
    /// The entry is in use.
    pub const USED: Self = Self(0x8000);

    /// The flags of a new connection: inactive, and without output unless it is translated.
    #[must_use]
    pub const fn of_method(method: Method) -> Self {
        match method {
            Method::Masquerade => Self(Self::INACTIVE.0),
            Method::Local => Self(1 | Self::INACTIVE.0),
            Method::Tunnel => Self(2 | Self::INACTIVE.0 | Self::NO_OUTPUT.0),
            Method::Route => Self(3 | Self::INACTIVE.0 | Self::NO_OUTPUT.0),
        }
    }

    /// How packets reach the server.
    #[inline]
    #[must_use]
    pub const fn method(self) -> Method {
        match self.0 & Self::METHOD {
            0 => Method::Masquerade,
            1 => Method::Local,
            2 => Method::Tunnel,
            _ => Method::Route,
        }
    }

    /// All bits of `other` are set.
    #[inline]
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// With the bits of `other`.
    #[inline]
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without the bits of `other`.
    #[inline]
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// A connection.
#[derive(Clone, Copy, Debug, FromZeros, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct Entry<F: Family> {
    /// The client's address.
    pub client: F::Addr,
    /// The virtual address.
    pub virtual_: F::Addr,
    /// The real server's address; unspecified if it is of the other family,
    /// which a tunnel's may be.
    pub server: F::Addr,
    /// The client's port.
    pub client_port: u16,
    /// The virtual port.
    pub virtual_port: u16,
    /// The real server's port.
    pub server_port: u16,
    pub(super) protocol: u8,
    /// The transport state, a number of its protocol's state table.
    pub state: u8,
    /// Method and flags.
    pub flags: Flags,
    pub(super) reserved: u16,
    pub(super) server_index: u32,
    pub(super) service_index: u32,
    /// The template that controls this connection, if any.
    pub(super) template: u32,
    /// How long it lives without a packet.
    pub timeout: Ticks,
    /// When it expires.
    pub deadline: Ticks,
    /// Packets from the client, wrapping.
    pub packets: u32,
    pub(super) hop: u32,
    /// The version of the forwarding information that
    /// [`next_hop`](Self::next_hop) belongs to; 0 is none.
    pub hop_version: u32,
    pub(super) wheel_prev: u32,
    pub(super) wheel_next: u32,
}

const _: () = assert!(
    size_of::<Entry<V4>>() == 64,
    "an IPv4 connection is one cache line"
);
const _: () = assert!(
    size_of::<Entry<V6>>() == 128,
    "an IPv6 connection is two cache lines"
);

impl<F: Family> Entry<F> {
    /// A connection from the tuple of its first packet.
    #[must_use]
    pub fn new(
        request: &Tuple<F>,
        server: Endpoint<F::Addr>,
        method: Method,
        server_index: ServerIndex,
        service_index: ServiceIndex,
        timeout: Ticks,
    ) -> Self {
        Self {
            client: request.src.addr,
            virtual_: request.dst.addr,
            server: server.addr,
            client_port: request.src.port,
            virtual_port: request.dst.port,
            server_port: server.port,
            protocol: request.protocol.0,
            state: 0,
            flags: Flags::of_method(method),
            reserved: 0,
            server_index: server_index.0,
            service_index: service_index.0,
            template: TemplateRef::NONE.0,
            timeout,
            deadline: timeout,
            packets: 0,
            hop: 0,
            hop_version: 0,
            wheel_prev: NIL,
            wheel_next: NIL,
        }
    }

    /// The protocol.
    #[inline]
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        Protocol(self.protocol)
    }

    /// The server's cell.
    #[inline]
    #[must_use]
    pub fn server_index(&self) -> ServerIndex {
        ServerIndex(self.server_index)
    }

    /// The service's slot at the time the connection began.
    #[inline]
    #[must_use]
    pub fn service_index(&self) -> ServiceIndex {
        ServiceIndex(self.service_index)
    }

    /// The template that controls it.
    #[inline]
    #[must_use]
    pub fn template(&self) -> TemplateRef {
        TemplateRef(self.template)
    }

    /// Lets a template control it.
    pub fn set_template(&mut self, template: TemplateRef) {
        self.template = template.0;
    }

    /// The next hop towards the client, if it belongs to this version of
    /// the forwarding information.
    #[inline]
    #[must_use]
    pub fn next_hop(&self, version: u32) -> Option<HopIndex> {
        (self.hop_version == version).then_some(HopIndex(self.hop))
    }

    /// Remembers the next hop towards the client.
    pub fn set_next_hop(&mut self, version: u32, hop: HopIndex) {
        self.hop = hop.0;
        self.hop_version = version;
    }

    /// Its replies pass the director and are translated.
    #[inline]
    #[must_use]
    pub fn has_reply(&self) -> bool {
        self.flags.method() == Method::Masquerade
    }

    /// The tuple of its packets in one direction, as they arrive.
    #[must_use]
    pub fn tuple(&self, direction: Direction) -> Tuple<F> {
        let client = Endpoint {
            addr: self.client,
            port: self.client_port,
        };
        let (src, dst) = match direction {
            Direction::Request => (
                client,
                Endpoint {
                    addr: self.virtual_,
                    port: self.virtual_port,
                },
            ),
            Direction::Reply => (
                Endpoint {
                    addr: self.server,
                    port: self.server_port,
                },
                client,
            ),
        };
        Tuple {
            protocol: self.protocol(),
            src,
            dst,
        }
    }

    #[inline]
    pub(super) fn matches(&self, direction: Direction, tuple: &Tuple<F>) -> bool {
        self.flags.has(Flags::USED) && self.tuple(direction) == *tuple
    }

    pub(super) fn next(&self) -> u32 {
        self.wheel_next
    }

    pub(super) fn release(&mut self, next: u32) {
        self.flags = self.flags.without(Flags::USED);
        self.wheel_next = next;
    }
}
