//! A packet socket that only sends.
#![allow(unsafe_code)]

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SendFlags, SocketType, bind, send, socket};
use std::os::fd::OwnedFd;

/// The socket, bound to an interface.
pub struct PacketSocket(OwnedFd);

impl PacketSocket {
    /// On an interface of this network namespace. Protocol 0: it receives nothing.
    pub fn open(interface: &str) -> Result<Self> {
        let fd = socket(AddressFamily::PACKET, SocketType::RAW, None)
            .context("no packet socket (root is needed)")?;
        let index =
            name_to_index(&fd, interface).with_context(|| format!("no interface {interface}"))?;
        let address = LinkAddress(libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: 0,
            sll_ifindex: i32::try_from(index)?,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        });
        bind(&fd, &address).with_context(|| format!("cannot send by {interface}"))?;
        Ok(Self(fd))
    }

    /// Sends a frame; false if there was no room for it.
    pub fn send(&self, frame: &[u8]) -> Result<bool> {
        match send(&self.0, frame, SendFlags::empty()) {
            Ok(_) => Ok(true),
            Err(Errno::NOBUFS | Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(error) => Err(error).context("cannot send"),
        }
    }
}

struct LinkAddress(libc::sockaddr_ll);

// SAFETY: the pointer is to a whole `sockaddr_ll`, which lives as long as
// the call, with its length.
unsafe impl SocketAddrArg for LinkAddress {
    unsafe fn with_sockaddr<R>(
        &self,
        f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R,
    ) -> R {
        f(
            (&raw const self.0).cast(),
            size_of::<libc::sockaddr_ll>() as SocketAddrLen,
        )
    }
}
