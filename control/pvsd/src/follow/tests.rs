//! A port follows its mirror: a driver that can do all, and one that can do nothing.

use super::*;
use pvs_dataplane::fib::PortIndex;
use std::cell::RefCell;

/// Records what it is told.
#[derive(Default)]
struct Fake {
    /// The driver has no switch at all.
    stubborn: bool,
    calls: RefCell<Vec<String>>,
}

impl Fake {
    fn call(&self, text: String) -> Result<bool, String> {
        self.calls.borrow_mut().push(text);
        Ok(!self.stubborn)
    }

    fn calls(&self) -> Vec<String> {
        self.calls.take()
    }
}

impl Switches for Fake {
    type Refusal = String;
    fn link(&self, up: bool) -> Result<bool, String> {
        self.call(format!("link {up}"))
    }
    fn set_mtu(&self, mtu: u16) -> Result<bool, String> {
        if mtu > 9000 {
            return Err("too much".into());
        }
        self.call(format!("mtu {mtu}"))
    }
    fn mtu(&self) -> Result<u16, String> {
        Ok(1500)
    }
    fn set_mac(&self, mac: MacAddr) -> Result<bool, String> {
        self.call(format!("mac {mac}"))
    }
    fn mac(&self) -> Result<MacAddr, String> {
        Ok(mac(1))
    }
    fn receive_mac(&self, mac: MacAddr, on: bool) -> Result<bool, String> {
        self.call(format!("receive {mac} {on}"))
    }
    fn promiscuous(&self, on: bool) -> Result<bool, String> {
        self.call(format!("promiscuous {on}"))
    }
    fn all_multicast(&self) -> Result<bool, String> {
        Ok(!self.stubborn)
    }
}

#[derive(Default)]
struct Tap(RefCell<Vec<String>>);

impl Honest for Tap {
    fn correct_mtu(&self, mtu: u32) {
        self.0.borrow_mut().push(format!("mtu {mtu}"));
    }
    fn correct_mac(&self, mac: MacAddr) {
        self.0.borrow_mut().push(format!("mac {mac}"));
    }
}

fn mac(last: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, last])
}

fn state() -> InterfaceState {
    InterfaceState {
        ifname: "pvs0".into(),
        ifindex: 1,
        port: PortIndex(0),
        vlan: VlanId::NONE,
        mac: mac(1),
        other_macs: vec![],
        mtu: 1500,
        macvlan: false,
        up: true,
        promiscuous: false,
        all_multicast: false,
        addresses: vec![],
    }
}

#[test]
fn a_willing_port_follows_in_everything() {
    let (port, tap) = (Fake::default(), Tap::default());
    let mut follower = Follower::new("port", &port);
    follower.follow(&port, &tap, &[&state()]);
    assert_eq!(port.calls(), ["promiscuous false"]);
    follower.follow(&port, &tap, &[&state()]);
    assert!(port.calls().is_empty(), "nothing has changed");

    let vrrp = InterfaceState {
        other_macs: vec![mac(51)],
        ..state()
    };
    // A VLAN with an address of its own.
    let vlan = InterfaceState {
        vlan: VlanId(7),
        mac: mac(7),
        ..state()
    };
    follower.follow(&port, &tap, &[&vrrp, &vlan]);
    assert_eq!(
        port.calls(),
        [
            "receive 02:00:00:00:00:07 true",
            "receive 02:00:00:00:00:33 true"
        ]
    );
    let changed = InterfaceState {
        up: false,
        mtu: 9000,
        mac: mac(9),
        promiscuous: true,
        ..state()
    };
    follower.follow(&port, &tap, &[&changed, &vlan]);
    assert_eq!(
        port.calls(),
        [
            "link false",
            "mtu 9000",
            "mac 02:00:00:00:00:09",
            "receive 02:00:00:00:00:33 false",
            "promiscuous true"
        ]
    );
    assert!(tap.0.borrow().is_empty());
    assert!(follower.said.is_empty());
}

#[test]
fn what_a_driver_refuses_is_said_once_and_the_mirror_is_set_back() {
    let port = Fake {
        stubborn: true,
        ..Fake::default()
    };
    let tap = Tap::default();
    let mut follower = Follower::new("port", &port);
    let changed = InterfaceState {
        up: false,
        mtu: 9000,
        mac: mac(9),
        other_macs: vec![mac(51)],
        ..state()
    };
    for mirror in [&state(), &changed, &state(), &changed] {
        follower.follow(&port, &tap, &[mirror]);
    }
    // The link, the MTU, the address; who can't be made promiscuous has no filter.
    assert_eq!(follower.said.len(), 3, "{:?}", follower.said);
    let once = ["mtu 1500", "mac 02:00:00:00:00:01"];
    assert_eq!(*tap.0.borrow(), [once, once].concat());
    // Less than the port could is no matter: what is sent keeps to it.
    let smaller = InterfaceState {
        mtu: 1280,
        ..state()
    };
    follower.follow(&port, &tap, &[&smaller]);
    assert_eq!(follower.said.len(), 3);
    let too_much = InterfaceState {
        mtu: 65_000,
        ..state()
    };
    follower.follow(&port, &tap, &[&too_much]);
    assert!(follower.said.iter().any(|s| s.contains("too much")));
}

#[test]
fn a_port_without_room_for_an_address_becomes_promiscuous() {
    struct NoRoom(Fake);
    impl Switches for NoRoom {
        type Refusal = String;
        fn link(&self, up: bool) -> Result<bool, String> {
            self.0.link(up)
        }
        fn set_mtu(&self, mtu: u16) -> Result<bool, String> {
            self.0.set_mtu(mtu)
        }
        fn mtu(&self) -> Result<u16, String> {
            self.0.mtu()
        }
        fn set_mac(&self, mac: MacAddr) -> Result<bool, String> {
            self.0.set_mac(mac)
        }
        fn mac(&self) -> Result<MacAddr, String> {
            self.0.mac()
        }
        fn receive_mac(&self, _: MacAddr, _: bool) -> Result<bool, String> {
            Ok(false)
        }
        fn promiscuous(&self, on: bool) -> Result<bool, String> {
            self.0.promiscuous(on)
        }
        fn all_multicast(&self) -> Result<bool, String> {
            Ok(true)
        }
    }
    let (port, tap) = (NoRoom(Fake::default()), Tap::default());
    let mut follower = Follower::new("port", &port);
    let vrrp = InterfaceState {
        other_macs: vec![mac(51)],
        ..state()
    };
    for mirror in [&state(), &vrrp, &state()] {
        follower.follow(&port, &tap, &[mirror]);
    }
    let expected = ["promiscuous false", "promiscuous true", "promiscuous false"];
    assert_eq!(port.0.calls(), expected);
}
