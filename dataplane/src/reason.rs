//! Why a packet was dropped. Every reason has a counter and a sentence that operators read.

use pvs_proto::Malformed;

pvs_proto::reasons! {
    /// Why a well-formed packet was dropped.
    DropReason {
        /// The frame is addressed to another host: the switch floods, and two
        /// directors would both balance it.
        OtherHost => "other_host",
        /// The frame carries a VLAN that no interface of the mirror has.
        UnknownVlan => "unknown_vlan",
        /// The packet is another worker's to decide or to send, and too many wait for it already.
        HandOverFull => "hand_over_full",
        /// The source address can't be one: loopback, multicast, unspecified or broadcast.
        MartianSource => "martian_source",
        /// The port's mirror has no interface yet, or has none any more.
        NoInterface => "no_interface",
        /// The other fragments of its datagram did not come in time.
        FragmentTimeout => "fragment_timeout",
        /// The fragments of its datagram overlap, or contradict each other about its length.
        FragmentOverlap => "fragment_overlap",
        /// The fragment came before.
        FragmentDuplicate => "fragment_duplicate",
        /// Too many fragments wait for the rest of their datagrams, and those of this one have
        /// waited longest; or it has too many.
        FragmentsFull => "fragments_full",
        /// There was no free buffer for a piece of a packet that had to be fragmented.
        NoBuffer => "no_buffer",
        /// The time to live ran out here.
        TtlExceeded => "ttl_exceeded",
        /// The service has no server that may take a new connection.
        NoServer => "no_server",
        /// A mark rule says so (`pvsadm mark`).
        MarkRule => "mark_rule",
        /// A defence against floods: one of so many packets that would begin a connection is
        /// dropped (`drop_packet`).
        Defence => "defence",
        /// The client is the masqueraded server itself: it would get its own packet back.
        Hairpin => "hairpin",
        /// The connection's server was removed from its service.
        ServerRemoved => "server_removed",
        /// There is no route, or the next hop does not answer.
        HostUnreachable => "host_unreachable",
        /// The route leads out by an interface that is no port of pvs.
        NoPort => "no_port",
        /// Too many packets wait for the hardware address of their next hop.
        NeighbourQueueFull => "neighbour_queue_full",
        /// The hardware address of the next hop was not found in time.
        NeighbourTimeout => "neighbour_timeout",
        /// The packet is larger than the interface that it would leave by, or the tunnel
        /// to its server, can take.
        TooBig => "too_big",
        /// The connection table is full, and nothing in it may be evicted.
        TableFull => "table_full",
        /// Both buckets of the connection are full and nothing in them can move.
        BucketFull => "bucket_full",
        /// The service goes by SIP's Call-ID, and the packet has none.
        NoCall => "no_call",
        /// There is no room for another template of a persistent service.
        TemplatesFull => "templates_full",
        /// Another worker held the client's template for too long.
        TemplatesBusy => "templates_busy",
        /// The server's replies could not be told from those of another connection.
        ReplyCollision => "reply_collision",
        /// The server is a loopback address of the director, which no packet from
        /// outside may be translated to.
        LoopbackServer => "loopback_server",
        /// The director has no address of its own towards the server of a tunnel.
        NoSource => "no_source",
        /// A masqueraded server's packet that belongs to no connection; the server
        /// is told (`nat_icmp_send`).
        NoConnection => "no_connection",
        /// An ICMP error about a connection, whose own checksum is wrong: a
        /// translation would make it right.
        IcmpChecksum => "icmp_checksum",
        /// An ICMP error about a packet in a tunnel, of which the client is not told: its packet
        /// may be cut, or there were too many errors.
        TunnelError => "tunnel_error",
        /// The device took no more frames.
        TxRefused => "tx_refused",
        /// There was no room before the frame for an outer header or a VLAN tag.
        NoHeadroom => "no_headroom",
        /// The configuration says that service traffic is to be dropped, to see
        /// what a failure looks like.
        Rehearsal => "rehearsal",
    }
}

/// Where a packet's way ended, if not in a transmit queue or with Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// The frame is malformed.
    Malformed(Malformed),
    /// The packet is sound, and was dropped.
    Dropped(DropReason),
}

impl Loss {
    /// Every loss there is.
    pub fn all() -> impl Iterator<Item = Self> {
        let malformed = Malformed::ALL.iter().map(|m| Self::Malformed(*m));
        malformed.chain(DropReason::ALL.iter().map(|d| Self::Dropped(*d)))
    }

    /// The counter's name.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Malformed(m) => m.label(),
            Self::Dropped(d) => d.label(),
        }
    }

    /// What it means, in a sentence.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Malformed(m) => m.sentence(),
            Self::Dropped(d) => d.sentence(),
        }
    }
}
