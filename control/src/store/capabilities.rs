//! What the running dataplane can do, told by the composition root. The store takes every command
//! that the kernel takes; what the dataplane could only ignore is refused here, in one sentence.

use crate::reply::Feature;
use pvs_sched::config::{
    AddressFamily, Method, ServerConfig, ServiceConfig, ServiceFlags, ServiceKey, Transport,
    TunnelKind,
};

/// A set of features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities(u16);

impl Capabilities {
    /// TCP and UDP services over IPv4, masquerading and direct routing: the least there is.
    pub const BASIC: Self = Self(0).with(Feature::Masquerading);
    /// Everything.
    pub const ALL: Self = Self(u16::MAX);

    /// These, and one more.
    #[must_use]
    pub const fn with(self, feature: Feature) -> Self {
        Self(self.0 | 1 << feature as u16)
    }

    /// These, without one.
    #[must_use]
    pub const fn without(self, feature: Feature) -> Self {
        Self(self.0 & !(1 << feature as u16))
    }

    /// The feature is among them.
    #[must_use]
    pub const fn has(self, feature: Feature) -> bool {
        self.0 & 1 << feature as u16 != 0
    }

    /// The first feature that the service needs and that is missing.
    pub(super) fn missing_for_service(self, config: &ServiceConfig) -> Option<Feature> {
        let needs = [
            (
                matches!(config.key, ServiceKey::Mark { .. }),
                Feature::Marks,
            ),
            (
                matches!(
                    config.key,
                    ServiceKey::Address {
                        protocol: Transport::Sctp,
                        ..
                    }
                ),
                Feature::Sctp,
            ),
            (config.key.family() == AddressFamily::Ipv6, Feature::Ipv6),
            (config.persistence.is_some(), Feature::Persistence),
            (config.engine.is_some(), Feature::Engine),
            (
                config.flags.has(ServiceFlags::ONE_PACKET),
                Feature::OnePacket,
            ),
        ];
        self.first_missing(&needs)
    }

    /// The first feature that the server needs and that is missing.
    pub(super) fn missing_for_server(self, config: &ServerConfig) -> Option<Feature> {
        let tunnel = config.method == Method::Tunnel;
        let needs = [
            (config.method == Method::Masquerade, Feature::Masquerading),
            (tunnel, Feature::Tunnel),
            (
                tunnel && config.tunnel.kind != TunnelKind::Ipip,
                Feature::GueGre,
            ),
            (config.upper_threshold > 0, Feature::Thresholds),
        ];
        self.first_missing(&needs)
    }

    fn first_missing(self, needs: &[(bool, Feature)]) -> Option<Feature> {
        needs
            .iter()
            .find(|(needed, feature)| *needed && !self.has(*feature))
            .map(|(_, f)| *f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_into_it() {
        let set = Capabilities::BASIC
            .with(Feature::Ipv6)
            .with(Feature::Tunnel);
        assert!(set.has(Feature::Ipv6) && set.has(Feature::Tunnel));
        assert!(!set.has(Feature::Marks));
        assert!(!set.without(Feature::Ipv6).has(Feature::Ipv6));
        assert!(Capabilities::ALL.has(Feature::Thresholds));
    }
}
