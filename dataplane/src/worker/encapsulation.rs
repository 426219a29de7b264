//! What stands between the outer header of a tunnel and the packet within:
//! nothing, GUE over UDP, or GRE.
//!
//! As `ip_vs_tunnel_xmit` builds them (`ipvs_gue_encap`, `ipvs_gre_encap`), with checksums if the
//! server wants them. The source port of GUE tells flows apart for routers and NICs on the way,
//! within the kernel's range of local ports.

use pvs_proto::checksum::Sum;
use pvs_proto::wire::{gre, gue};
use pvs_proto::{Address, Family, Meta, Protocol};
use pvs_sched::{Tunnel, TunnelKind};

/// Ports that GUE is sent from: the default of `ip_local_port_range`.
const SOURCE_PORTS: core::ops::RangeInclusive<u16> = 32_768..=60_999;

/// IP_VS_TUNNEL_ENCAP_FLAG_CSUM.
const CHECKSUM: u16 = 1;
/// IP_VS_TUNNEL_ENCAP_FLAG_REMCSUM: GUE's, and the same there for packets that come off a wire.
const REMOTE_CHECKSUM: u16 = 2;

/// What a tunnel puts around a packet besides an IP header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Encapsulation {
    /// Nothing.
    #[default]
    IpIp,
    /// UDP to this port, and GUE.
    Gue {
        /// The port.
        port: u16,
        /// UDP has a checksum.
        checksum: bool,
    },
    /// GRE.
    Gre {
        /// It has a checksum.
        checksum: bool,
    },
}

impl Encapsulation {
    /// What a server is configured for.
    pub(super) const fn of(tunnel: &Tunnel) -> Self {
        match tunnel.kind {
            TunnelKind::Ipip => Self::IpIp,
            TunnelKind::Gue => Self::Gue {
                port: tunnel.port,
                checksum: tunnel.flags & (CHECKSUM | REMOTE_CHECKSUM) != 0,
            },
            TunnelKind::Gre => Self::Gre {
                checksum: tunnel.flags & CHECKSUM != 0,
            },
        }
    }

    /// Its length.
    #[inline]
    pub(super) const fn len(self) -> usize {
        match self {
            Self::IpIp => 0,
            Self::Gue { .. } => gue::LEN,
            Self::Gre { checksum } => gre::len(checksum),
        }
    }

    /// What the outer header says that follows it.
    pub(super) const fn protocol(self, within: Protocol) -> Protocol {
        match self {
            Self::IpIp => within,
            Self::Gue { .. } => Protocol::UDP,
            Self::Gre { .. } => Protocol::GRE,
        }
    }

    /// Writes it to where the outer header ends, before a packet of this protocol; `rest` is the
    /// sum of what follows behind `bytes`. `None` if there is no room.
    pub(super) fn write<A: Address, F: Family>(
        self,
        bytes: &mut [u8],
        ends: (A, A),
        within: Protocol,
        meta: &Meta<F>,
        rest: Sum,
    ) -> Option<()> {
        match self {
            Self::IpIp => Some(()),
            Self::Gre { checksum } => gre::write(bytes, within, checksum, rest),
            Self::Gue { port, checksum } => {
                let plain = gue::Plain {
                    ends,
                    ports: (source_port(meta), port),
                    within,
                    len: meta.ip_len,
                    checksum,
                };
                gue::write(bytes, &plain, rest)
            }
        }
    }
}

/// The same for all packets of a flow.
fn source_port<F: Family>(meta: &Meta<F>) -> u16 {
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
    let ports = u64::from(meta.src.port) << 32 | u64::from(meta.dst.port) << 16;
    let mut hash = ports | u64::from(meta.protocol.0);
    for word in [meta.src.addr.fold(), meta.dst.addr.fold()] {
        hash = (hash.rotate_left(23) ^ word).wrapping_mul(MIX);
        hash ^= hash >> 29;
    }
    let (first, last) = (*SOURCE_PORTS.start(), *SOURCE_PORTS.end());
    let ports = u64::from(last - first) + 1;
    first + (((hash.wrapping_mul(MIX) >> 32) * ports) >> 32) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use pvs_proto::{Addr4, Endpoint, Fragment, V4};
    use std::collections::BTreeSet;

    fn meta(client: u16) -> Meta<V4> {
        let at = |addr, port| Endpoint {
            addr: Addr4(addr),
            port,
        };
        Meta {
            src: at(0x0a09_0001, client),
            dst: at(0x0a00_0064, 53),
            ip_len: 36,
            fragment_id: 0,
            l3: 14,
            l4: 34,
            protocol: Protocol::UDP,
            signal: 0,
            ttl: 64,
            fragment: Fragment::None,
            dont_fragment: true,
        }
    }

    #[test]
    fn flows_have_different_ports_in_the_kernel_s_range() {
        let ports: Vec<u16> = (0..10_000)
            .map(|client| source_port(&meta(client)))
            .collect();
        assert!(ports.iter().all(|port| SOURCE_PORTS.contains(port)));
        let distinct: BTreeSet<u16> = ports.iter().copied().collect();
        // Ten thousand balls into 28,232 bins fill 8,400 of them.
        assert!(distinct.len() > 8_000, "{}", distinct.len());
        let (least, most) = (ports.iter().min().unwrap(), ports.iter().max().unwrap());
        assert!(*least < 33_000 && *most > 60_800, "{least} to {most}");
    }
}
