//! What the running director can do, told by the composition root. The store takes every
//! command that the kernel takes; what the director, started as it was, could only ignore is
//! refused here, in one sentence.

use crate::reply::Feature;
use pvs_sched::config::{Method, ServerConfig};

/// What a director can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    masquerading: bool,
}

impl Capabilities {
    /// Everything.
    pub const ALL: Self = Self { masquerading: true };

    /// All but masquerading: replies would not meet their connection's worker.
    pub const WITHOUT_MASQUERADING: Self = Self {
        masquerading: false,
    };

    /// The first feature that the server needs and that is missing.
    pub(super) fn missing_for_server(self, config: &ServerConfig) -> Option<Feature> {
        let needs_it = config.method == Method::Masquerade;
        (needs_it && !self.masquerading).then_some(Feature::Masquerading)
    }
}
