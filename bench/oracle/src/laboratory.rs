//! Where the director of the recordings stood: interfaces, routes and permanent neighbours, as
//! `data/README.md` lists them.

use crate::{Side, frames};
use anyhow::{Context, Result};
use pvs_dataplane::fib::{
    Fib, FibBuilder, Interface, InterfaceIndex, Neighbour, OwnAddress, PortIndex, Target,
};
use pvs_proto::{Addr4, Addr6, Family, V4, V6, VlanId};
use std::net::IpAddr;

/// The laboratory's forwarding information, with further local addresses.
///
/// # Errors
/// If an address is of no family.
pub fn laboratory(locals: &[IpAddr]) -> Result<Fib> {
    laboratory_with(locals, 1500, 1, |_, _| {})
}

/// The same with an MTU of the servers' side, a version, and what `more` adds to it; `more` is told
/// the interfaces of the clients' and of the servers' side.
///
/// # Errors
/// If an address is of no family.
pub fn laboratory_with(
    locals: &[IpAddr],
    server_mtu: u32,
    version: u32,
    more: impl FnOnce(&mut FibBuilder, [InterfaceIndex; 2]),
) -> Result<Fib> {
    let mut b = FibBuilder::new();
    let mut side = |port: PortIndex, mac, mtu| {
        b.interface(Interface {
            port,
            vlan: VlanId::NONE,
            mac,
            other_macs: vec![],
            mtu,
        })
    };
    let c1 = side(Side::Client.port(), frames::DIRECTOR_CLIENT_MAC, 1500);
    let r1 = side(Side::Server.port(), frames::DIRECTOR_SERVER_MAC, server_mtu);
    b.name(c1, "c1").name(r1, "r1");
    b.route::<V4>(
        addr::<V4>("0.0.0.0")?,
        0,
        Target::Via(c1, addr::<V4>("10.9.9.1")?),
    );
    b.route::<V6>(
        addr::<V6>("::")?,
        0,
        Target::Via(c1, addr::<V6>("fd09::1")?),
    );
    b.route::<V4>(addr::<V4>("10.9.9.0")?, 24, Target::OnLink(c1));
    b.route::<V4>(addr::<V4>("192.168.1.0")?, 24, Target::OnLink(r1));
    b.route::<V6>(addr::<V6>("fd09::")?, 64, Target::OnLink(c1));
    b.route::<V6>(addr::<V6>("fd01::")?, 64, Target::OnLink(r1));
    for (exit, v4, v6) in [
        (c1, "10.9.9.254", "fd09::fe"),
        (r1, "192.168.1.254", "fd01::fe"),
    ] {
        b.own_address::<V4>(OwnAddress::plain(exit, addr::<V4>(v4)?, 24));
        b.own_address::<V6>(OwnAddress::plain(exit, addr::<V6>(v6)?, 64));
    }
    for text in [
        "10.9.9.254",
        "192.168.1.254",
        "10.0.0.100",
        "10.0.0.101",
        "10.0.0.102",
    ] {
        b.route::<V4>(addr::<V4>(text)?, 32, Target::Local);
    }
    b.route::<V4>(addr::<V4>("10.50.0.0")?, 16, Target::Local);
    for text in ["fd09::fe", "fd01::fe", "fd00::100"] {
        b.route::<V6>(addr::<V6>(text)?, 128, Target::Local);
    }
    b.route::<V6>(addr::<V6>("fd50::")?, 64, Target::Local);
    for local in locals {
        match local {
            IpAddr::V4(a) => b.route::<V4>(Addr4::from(*a), 32, Target::Local),
            IpAddr::V6(a) => b.route::<V6>(Addr6::from(*a), 128, Target::Local),
        };
    }
    let router = Neighbour::Resolved(frames::CLIENT_MAC);
    b.neighbour::<V4>(c1, addr::<V4>("10.9.9.1")?, router);
    b.neighbour::<V6>(c1, addr::<V6>("fd09::1")?, router);
    for n in 1..=16u8 {
        let server = Neighbour::Resolved(frames::server_mac(n));
        b.neighbour::<V4>(r1, addr::<V4>(&format!("192.168.1.{n}"))?, server);
        b.neighbour::<V6>(r1, addr::<V6>(&format!("fd01::{n:x}"))?, server);
    }
    more(&mut b, [c1, r1]);
    Ok(b.build(version))
}

/// An address of a family, out of a text that is right.
fn addr<F: Family>(text: &str) -> Result<F::Addr> {
    F::addr(text.parse()?).with_context(|| format!("{text} is of the other family"))
}
