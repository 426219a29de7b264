//! The two synchronisation daemons as configuration: started, listed and stopped, with the defaults
//! of `start_sync_thread`. What they send is not this crate's business.

use crate::command::{DaemonRequest, DaemonRole};
use crate::plane::Locality;
use crate::reply::{DaemonView, Refusal};
use std::net::{IpAddr, Ipv4Addr};

/// The running daemons.
#[derive(Clone, Debug, Default)]
pub(super) struct Daemons {
    master: Option<DaemonView>,
    backup: Option<DaemonView>,
}

impl Daemons {
    pub(super) fn start(
        &mut self,
        request: &DaemonRequest,
        locality: &dyn Locality,
    ) -> Result<(), Refusal> {
        let mtu = locality
            .device_mtu(&request.interface)
            .ok_or(Refusal::DeviceUnknown)?;
        if self.side(request.role).is_some() {
            return Err(Refusal::DaemonRuns);
        }
        *self.side(request.role) = Some(view(request, mtu));
        Ok(())
    }

    pub(super) fn stop(&mut self, role: DaemonRole) -> Result<(), Refusal> {
        self.side(role)
            .take()
            .map(|_| ())
            .ok_or(Refusal::DaemonUnknown)
    }

    pub(super) fn views(&self) -> Vec<DaemonView> {
        self.master.iter().chain(&self.backup).cloned().collect()
    }

    const fn side(&mut self, role: DaemonRole) -> &mut Option<DaemonView> {
        match role {
            DaemonRole::Master => &mut self.master,
            DaemonRole::Backup => &mut self.backup,
        }
    }
}

/// A daemon with what was left out filled in: a master's messages fit an Ethernet frame, a backup
/// takes what its device takes.
fn view(request: &DaemonRequest, mtu: u32) -> DaemonView {
    let group = request
        .group
        .unwrap_or(IpAddr::V4(Ipv4Addr::new(224, 0, 0, 81)));
    let headers = if group.is_ipv4() { 28 } else { 48 };
    let (mtu, least) = match request.role {
        DaemonRole::Master => (1500, 1),
        DaemonRole::Backup => (mtu.clamp(1500, 65_535), 1024),
    };
    let max_len = match request.max_len {
        Some(length) => u32::from(length).clamp(least, 65_535 - headers),
        None => mtu - headers,
    };
    DaemonView {
        role: request.role,
        interface: request.interface.clone(),
        sync_id: request.sync_id,
        max_len: u16::try_from(max_len).unwrap_or(u16::MAX),
        group,
        port: request.port.unwrap_or(8848),
        ttl: request.ttl.unwrap_or(1),
    }
}
