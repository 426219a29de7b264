//! VLAN interfaces, played from bytes: `data/vlan.hex` says where they come from.

use super::*;
use crate::netlink::{Unread, split};
use netlink_packet_core::NLM_F_REPLACE;
use pvs_proto::VlanId;

/// The messages of the file, with the flags of their headers.
fn feed() -> impl Iterator<Item = (RouteNetlinkMessage, u16)> {
    let lines = include_str!("data/vlan.hex").lines();
    let lines = lines.filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let digits: Vec<u8> = line.bytes().collect();
        let byte =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        let bytes: Vec<u8> = digits.chunks(2).map(byte).collect();
        let raws: Vec<_> = split(&bytes).collect();
        assert_eq!(raws.len(), 1);
        (Unread::default().decode(&raws[0]).unwrap(), raws[0].flags())
    })
}

/// Plays so many further messages.
fn play(m: &mut Mirror, feed: &mut impl Iterator<Item = (RouteNetlinkMessage, u16)>, count: usize) {
    for (message, flags) in feed.take(count) {
        m.apply(&message, flags & NLM_F_REPLACE != 0);
    }
}

fn hop_to(u: &Update, address: &str) -> pvs_dataplane::fib::Hop {
    let Route::Hop(at) = to4(u, address) else {
        panic!("{:?}", to4(u, address))
    };
    *u.fib.hop(at).unwrap()
}

#[test]
fn a_vlan_interface_is_followed_from_its_making_to_its_end() {
    let mut m = mirror();
    let mut feed = feed();
    let receives = |u: &Update, vlan| {
        let found = u.fib.interface(PortIndex(1), VlanId(vlan));
        found.map(|(_, interface)| (interface.mac, interface.mtu))
    };
    assert_eq!(receives(&m.update().unwrap(), 100), None);
    play(&mut m, &mut feed, 1);
    let u = m.update().unwrap();
    assert_eq!(receives(&u, 100), Some((mac(11), 1500)));
    assert_eq!(receives(&u, 0), Some((mac(11), 1500)), "untagged as before");
    play(&mut m, &mut feed, 4);
    let u = m.update().unwrap();
    let hop = hop_to(&u, "192.0.2.9");
    assert_eq!(
        (hop.mac, hop.port, hop.vlan, hop.mtu),
        (mac(9), PortIndex(1), VlanId(100), 1500)
    );
    assert!(u.local.is_local("192.0.2.1".parse().unwrap()));
    assert_eq!(
        u.interfaces[2].addresses,
        [("192.0.2.1".parse().unwrap(), 24)]
    );

    play(&mut m, &mut feed, 1);
    let u = m.update().unwrap();
    let own = MacAddr([2, 0, 0, 0, 0xaa, 0x64]);
    assert_eq!(receives(&u, 100), Some((own, 1400)));
    let hop = hop_to(&u, "192.0.2.9");
    assert_eq!((hop.source, hop.mtu), (own, 1400));
    // An outer tag of another kind, and a tag within a tag, are no interfaces of pvs.
    play(&mut m, &mut feed, 2);
    let u = m.update().unwrap();
    assert_eq!((receives(&u, 7), receives(&u, 5)), (None, None));
    assert_eq!(u.interfaces.len(), 3);

    m.doubts();
    play(&mut m, &mut feed, 1);
    assert_eq!(receives(&m.update().unwrap(), 100), None, "down");
    assert_eq!(m.doubts(), Doubts::ALL, "its routes went without a word");
    play(&mut m, &mut feed, 1);
    assert_eq!(m.update().unwrap().interfaces.len(), 2);
    assert!(feed.next().is_none());
}
