//! An address and a port as listings show them: numbers, or names where there are some.

use crate::cli::Names;
use pvs_sched::config::Transport;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;

/// Longest label; ipvsadm cuts what is longer.
const LABEL_BYTES_MAX: usize = 59;

/// Labels of endpoints. A host's name is asked for once.
pub struct Labels<'a> {
    names: &'a dyn Names,
    numeric: bool,
    hosts: RefCell<HashMap<IpAddr, String>>,
}

impl std::fmt::Debug for Labels<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Labels")
            .field("numeric", &self.numeric)
            .finish_non_exhaustive()
    }
}

impl<'a> Labels<'a> {
    /// Labels with these names, or with numbers alone.
    #[must_use]
    pub fn new(names: &'a dyn Names, numeric: bool) -> Self {
        Self {
            names,
            numeric,
            hosts: RefCell::default(),
        }
    }

    /// `host:port`, the host in brackets if its address is of IPv6. The port has a
    /// name only under a transport.
    pub(super) fn label(&self, address: IpAddr, port: u16, transport: Option<Transport>) -> String {
        let host = self.host(address);
        let service = match transport {
            Some(transport) if !self.numeric => self.names.service(port, transport),
            _ => None,
        };
        let port = service.unwrap_or_else(|| port.to_string());
        let label = match address {
            IpAddr::V4(_) => format!("{host}:{port}"),
            IpAddr::V6(_) => format!("[{host}]:{port}"),
        };
        cut(&label, LABEL_BYTES_MAX).to_owned()
    }

    fn host(&self, address: IpAddr) -> String {
        if self.numeric {
            return address.to_string();
        }
        let mut hosts = self.hosts.borrow_mut();
        let host = hosts.entry(address);
        host.or_insert_with(|| {
            self.names
                .host(address)
                .unwrap_or_else(|| address.to_string())
        })
        .clone()
    }
}

/// The first bytes of a text, as many as make whole characters.
pub(super) fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}
