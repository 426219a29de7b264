//! What Linux does to a mirror tap, carried over to its port: up and down, MTU, hardware addresses,
//! promiscuity.
//!
//! A port takes what its driver can do. Where it can't, that is told once, and the tap is set back
//! to what the port has, so that `ip link` tells the truth. Multicast is always received: Linux
//! tells nobody which groups it joins, and drops what it has not joined.

use pvs_dpdk::{Device, DeviceError};
use pvs_linux::{InterfaceState, MirrorTap};
use pvs_proto::{MacAddr, VlanId};
use std::collections::BTreeSet;
use std::fmt::Display;

/// What of a port can be set. Each yields false if the driver has no such switch.
pub trait Switches {
    /// Why the driver refuses.
    type Refusal: Display;
    /// Takes the link up or down.
    fn link(&self, up: bool) -> Result<bool, Self::Refusal>;
    /// Changes the MTU.
    fn set_mtu(&self, mtu: u16) -> Result<bool, Self::Refusal>;
    /// The MTU now.
    fn mtu(&self) -> Result<u16, Self::Refusal>;
    /// Changes the hardware address.
    fn set_mac(&self, mac: MacAddr) -> Result<bool, Self::Refusal>;
    /// The hardware address now.
    fn mac(&self) -> Result<MacAddr, Self::Refusal>;
    /// Receives for a further address, or no longer.
    fn receive_mac(&self, mac: MacAddr, on: bool) -> Result<bool, Self::Refusal>;
    /// Receives frames for every address, or no longer.
    fn promiscuous(&self, on: bool) -> Result<bool, Self::Refusal>;
    /// Receives all multicast.
    fn all_multicast(&self) -> Result<bool, Self::Refusal>;
}

impl Switches for Device {
    type Refusal = DeviceError;
    fn link(&self, up: bool) -> Result<bool, DeviceError> {
        self.set_link(up)
    }
    fn set_mtu(&self, mtu: u16) -> Result<bool, DeviceError> {
        Device::set_mtu(self, mtu)
    }
    fn mtu(&self) -> Result<u16, DeviceError> {
        Device::mtu(self)
    }
    fn set_mac(&self, mac: MacAddr) -> Result<bool, DeviceError> {
        Device::set_mac(self, mac)
    }
    fn mac(&self) -> Result<MacAddr, DeviceError> {
        Device::mac(self)
    }
    fn receive_mac(&self, mac: MacAddr, on: bool) -> Result<bool, DeviceError> {
        Device::receive_mac(self, mac, on)
    }
    fn promiscuous(&self, on: bool) -> Result<bool, DeviceError> {
        self.set_promiscuous(on)
    }
    fn all_multicast(&self) -> Result<bool, DeviceError> {
        self.set_allmulticast(true)
    }
}

/// Where Linux's own state is set back to what the port has.
pub trait Honest {
    /// Sets the tap's MTU.
    fn correct_mtu(&self, mtu: u32);
    /// Sets the tap's hardware address.
    fn correct_mac(&self, mac: MacAddr);
}

impl Honest for MirrorTap {
    fn correct_mtu(&self, mtu: u32) {
        told(self.set_mtu(mtu));
    }
    fn correct_mac(&self, mac: MacAddr) {
        told(self.set_mac(mac));
    }
}

fn told<E: Display>(done: Result<(), E>) {
    if let Err(error) = done {
        tracing::warn!("{error}");
    }
}

/// What a port was last told.
#[derive(Debug)]
pub struct Follower {
    device: String,
    up: bool,
    mtu: Option<u32>,
    mac: Option<MacAddr>,
    others: BTreeSet<MacAddr>,
    /// Of `others`, those that the port has no place for.
    homeless: BTreeSet<MacAddr>,
    deaf_to_groups: bool,
    promiscuous: Option<bool>,
    /// Sentences that were said.
    said: BTreeSet<String>,
}

impl Follower {
    /// Of a port that was just opened, which is up.
    pub fn new<S: Switches>(device: &str, port: &S) -> Self {
        Self {
            device: device.to_owned(),
            up: true,
            mtu: None,
            mac: None,
            others: BTreeSet::new(),
            homeless: BTreeSet::new(),
            // Without that switch, only a promiscuous port receives what VRRP and discovery need.
            deaf_to_groups: !port.all_multicast().unwrap_or(false),
            promiscuous: None,
            said: BTreeSet::new(),
        }
    }

    /// Carries over the state of the port's interfaces: the tap and what is on it.
    pub fn follow<S: Switches>(&mut self, port: &S, tap: &impl Honest, on: &[&InterfaceState]) {
        let is_tap = |i: &&&InterfaceState| i.vlan == VlanId::NONE && !i.macvlan;
        let Some(own) = on.iter().find(is_tap) else {
            return;
        };
        self.follow_link(port, own.up);
        self.follow_mtu(port, tap, own.mtu);
        self.follow_mac(port, tap, own.mac);
        let of_all = on.iter().filter(|i| i.up);
        let macs = of_all.flat_map(|i| i.other_macs.iter().chain([&i.mac]));
        let others = macs.copied().filter(|mac| *mac != own.mac).collect();
        self.follow_others(port, others);
        self.follow_promiscuity(port, on.iter().any(|i| i.promiscuous));
    }

    fn follow_link<S: Switches>(&mut self, port: &S, up: bool) {
        if std::mem::replace(&mut self.up, up) == up {
            return;
        }
        let word = if up { "up" } else { "down" };
        match port.link(up) {
            Ok(true) => tracing::info!("{} was set {word}, as its mirror", self.device),
            Ok(false) => self.say(
                "the driver can't take the link down: its peer sees it up, but nothing is forwarded"
                    .to_owned(),
            ),
            Err(error) => self.say(format!("the link can't be set {word}: {error}")),
        }
    }

    fn follow_mtu<S: Switches>(&mut self, port: &S, tap: &impl Honest, mtu: u32) {
        if self.mtu.replace(mtu) == Some(mtu) {
            return;
        }
        let has = port.mtu().map_or(u32::MAX, u32::from);
        if has == mtu {
            return;
        }
        let refusal = match u16::try_from(mtu).map(|mtu| port.set_mtu(mtu)) {
            Ok(Ok(true)) => {
                tracing::info!("{} has an MTU of {mtu}, as its mirror", self.device);
                return;
            }
            // What is sent keeps to the mirror's MTU whatever the port could.
            _ if mtu <= has => return,
            Ok(Ok(false)) => "the driver can't change it".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no port can".to_owned(),
        };
        self.say(format!(
            "an MTU of {mtu} can't be had: {refusal}; the mirror keeps {has}"
        ));
        self.mtu = Some(has);
        tap.correct_mtu(has);
    }

    fn follow_mac<S: Switches>(&mut self, port: &S, tap: &impl Honest, mac: MacAddr) {
        if self.mac.replace(mac) == Some(mac) {
            return;
        }
        let Some(has) = port.mac().ok().filter(|has| *has != mac) else {
            return;
        };
        let refusal = match port.set_mac(mac) {
            Ok(true) => {
                tracing::info!("{} has the address {mac}, as its mirror", self.device);
                return;
            }
            Ok(false) => "the driver can't change it".to_owned(),
            Err(error) => error.to_string(),
        };
        self.say(format!(
            "the hardware address {mac} can't be had: {refusal}; the mirror keeps {has}"
        ));
        self.mac = Some(has);
        tap.correct_mac(has);
    }

    fn follow_others<S: Switches>(&mut self, port: &S, others: BTreeSet<MacAddr>) {
        for mac in self.others.difference(&others) {
            if !self.homeless.remove(mac) {
                // One that can't be let go is received and dropped, as by a promiscuous port.
                let _ = port.receive_mac(*mac, false);
            }
        }
        for mac in others.difference(&self.others) {
            if !port.receive_mac(*mac, true).unwrap_or(false) {
                self.homeless.insert(*mac);
            }
        }
        self.others = others;
    }

    fn follow_promiscuity<S: Switches>(&mut self, port: &S, asked: bool) {
        // As Linux does with a NIC whose filter is full.
        let wanted = asked || self.deaf_to_groups || !self.homeless.is_empty();
        if self.promiscuous.replace(wanted) == Some(wanted) {
            return;
        }
        // A driver without that switch is a virtual one without a filter.
        let Err(refusal) = port.promiscuous(wanted) else {
            return;
        };
        if wanted {
            let reason = match (self.homeless.first(), asked) {
                (Some(mac), _) => format!("to receive for {mac}"),
                (None, true) => "as its mirror is".to_owned(),
                (None, false) => "to receive multicast".to_owned(),
            };
            self.say(format!("it can't be made promiscuous {reason}: {refusal}"));
        }
    }

    /// Warns, once for each sentence.
    fn say(&mut self, sentence: String) {
        if self.said.insert(sentence.clone()) {
            tracing::warn!("{}: {sentence}", self.device);
        }
    }
}

#[cfg(test)]
mod tests;
