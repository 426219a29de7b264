//! Which interface a frame belongs to: a look-up is bounded whatever the number of VLANs.

use super::{Interface, InterfaceIndex};
use pvs_proto::VlanId;
use std::collections::{BTreeMap, BTreeSet};

/// As many VLANs as a tag can name.
const VLANS: usize = 4096;

/// Who receives on a port.
#[derive(Clone, Debug, Default)]
pub(super) struct Receivers {
    untagged: Option<InterfaceIndex>,
    /// By VLAN; empty if there is none.
    vlans: Box<[Option<InterfaceIndex>]>,
}

impl Receivers {
    /// Who receives frames of a VLAN, or untagged ones.
    #[inline]
    pub(super) fn of(&self, vlan: VlanId) -> Option<InterfaceIndex> {
        if vlan == VlanId::NONE {
            return self.untagged;
        }
        self.vlans.get(usize::from(vlan.0)).copied().flatten()
    }
}

/// Who receives on each port, by VLAN.
pub(super) fn receivers(
    interfaces: &[Interface],
    deaf: &BTreeSet<InterfaceIndex>,
) -> Box<[Receivers]> {
    let mut ports = BTreeMap::<_, Receivers>::new();
    let mut met = BTreeSet::new();
    for (interface, index) in interfaces.iter().zip((0..).map(InterfaceIndex)) {
        let first = met.insert((interface.port, interface.vlan));
        if !first || deaf.contains(&index) {
            continue;
        }
        let port = ports.entry(interface.port.0).or_default();
        if interface.vlan == VlanId::NONE {
            port.untagged = Some(index);
            continue;
        }
        if port.vlans.is_empty() {
            port.vlans = vec![None; VLANS].into_boxed_slice();
        }
        if let Some(place) = port.vlans.get_mut(usize::from(interface.vlan.0)) {
            *place = Some(index);
        }
    }
    let count = ports.keys().next_back().map_or(0, |last| *last + 1);
    (0..count)
        .map(|port| ports.remove(&port).unwrap_or_default())
        .collect()
}
