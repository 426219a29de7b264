//! The mirror tap: what Linux sees of a port.
//!
//! A persistent tap in the namespace of the operator's choice, attached by name: its addresses,
//! routes and index outlive pvsd, whatever kills it. While pvsd is away it has no carrier. What a
//! new tap gets from its port are the hardware address, the MTU and the state up, and from
//! `timers.rs` how Linux looks after neighbours there; on one that was there already the hardware
//! address is set if it differs, and the MTU if it is more than the port can send, since the rest
//! is the operator's. No offload is negotiated, so every frame carries complete checksums.

use crate::netlink::Requests;
use crate::{Error, Namespace, timers, tun};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use pvs_proto::MacAddr;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

/// How long a process that was just killed may take to let go of its tap: the kernel gives its
/// memory back first, and closes its files then.
const LET_GO: Duration = Duration::from_millis(500);

/// What a mirror tap shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapConfig {
    /// Its name, as `ip link` shows it.
    pub name: String,
    /// The port's hardware address.
    pub mac: MacAddr,
    /// Largest IP packet that the port can send, in bytes.
    pub mtu: u32,
}

/// An attached tap. Dropping it detaches; the tap itself stays.
#[derive(Debug)]
pub struct MirrorTap {
    namespace: Namespace,
    fd: OwnedFd,
    name: String,
    ifindex: u32,
    created: bool,
}

impl MirrorTap {
    /// Attaches to the tap of this name, making it if there is none.
    ///
    /// # Errors
    /// Another process is attached ([`Error::TapInUse`]), an interface of another kind has the
    /// name, or the kernel refuses.
    pub fn open(namespace: &Namespace, config: &TapConfig) -> Result<Self, Error> {
        check_name(&config.name)?;
        let mut netlink = Requests::open(namespace)?;
        let created = find(&mut netlink, &config.name)?.is_none();
        let fd = attach(namespace, &config.name)?;
        let name = config.name.as_str();
        tun::clear_offloads(&fd).map_err(cannot(name, "switch its offloads off"))?;
        let link = find(&mut netlink, name)?.ok_or_else(|| Error::TapGone {
            name: name.to_owned(),
        })?;
        if created {
            timers::set(namespace, name)?;
        }
        set_up(&mut netlink, &link, config, created)?;
        // Last: a process that is killed before this line leaves no half-made tap behind.
        tun::set_persist(&fd, true).map_err(cannot(name, "make it persistent"))?;
        Ok(Self {
            namespace: namespace.clone(),
            fd,
            name: name.to_owned(),
            ifindex: link.header.index,
            created,
        })
    }

    /// Its name when it was attached.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Linux's index of it.
    #[must_use]
    pub fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// True if there was none by that name before.
    #[must_use]
    pub fn was_created(&self) -> bool {
        self.created
    }

    /// Gives the tap the port's carrier, so that routing daemons see the cable.
    ///
    /// # Errors
    /// The tap is gone.
    pub fn set_carrier(&self, up: bool) -> Result<(), Error> {
        tun::set_carrier(&self.fd, up).map_err(cannot(&self.name, "set its carrier"))
    }

    /// Sets its MTU, as where the port can't have the one that it was given.
    ///
    /// # Errors
    /// The kernel refuses, or the tap is gone.
    pub fn set_mtu(&self, mtu: u32) -> Result<(), Error> {
        self.change(LinkAttribute::Mtu(mtu), "set its MTU")
    }

    /// Sets its hardware address, likewise.
    ///
    /// # Errors
    /// The kernel refuses, or the tap is gone.
    pub fn set_mac(&self, mac: MacAddr) -> Result<(), Error> {
        let address = LinkAttribute::Address(mac.0.to_vec());
        self.change(address, "set its hardware address")
    }

    fn change(&self, attribute: LinkAttribute, action: &'static str) -> Result<(), Error> {
        let mut change = LinkMessage::default();
        change.header.index = self.ifindex;
        change.attributes.push(attribute);
        Requests::open(&self.namespace)?
            .change(RouteNetlinkMessage::SetLink(change), 0)
            .map_err(cannot(&self.name, action))
    }

    /// Takes the next frame that Linux sends; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::TapGone`] if it was deleted.
    pub fn read<'a>(&self, buffer: &'a mut [u8]) -> Result<Option<&'a [u8]>, Error> {
        match rustix::io::read(&self.fd, &mut *buffer) {
            Ok(len) => Ok(buffer.get(..len)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(Errno::BADFD) => Err(Error::TapGone {
                name: self.name.clone(),
            }),
            Err(error) => Err(cannot(&self.name, "read from it")(error.into())),
        }
    }

    /// Hands a frame to Linux; false if Linux did not take it, as while the tap is down.
    ///
    /// # Errors
    /// [`Error::TapGone`] if it was deleted.
    pub fn write(&self, frame: &[u8]) -> Result<bool, Error> {
        match rustix::io::write(&self.fd, frame) {
            Ok(_) => Ok(true),
            Err(Errno::BADFD) => Err(Error::TapGone {
                name: self.name.clone(),
            }),
            // EIO: down. EINVAL: shorter than an Ethernet header. EAGAIN, ENOMEM, ENOBUFS: no room.
            Err(_) => Ok(false),
        }
    }

    /// Deletes the tap of this name; false if there is none.
    ///
    /// # Errors
    /// It is in use, or no tap.
    pub fn remove(namespace: &Namespace, name: &str) -> Result<bool, Error> {
        check_name(name)?;
        let mut netlink = Requests::open(namespace)?;
        let Some(link) = find(&mut netlink, name)? else {
            return Ok(false);
        };
        // Who is attached knows that it is a tap and that nobody else uses it.
        let _fd = attach(namespace, name)?;
        let mut doomed = LinkMessage::default();
        doomed.header.index = link.header.index;
        netlink
            .change(RouteNetlinkMessage::DelLink(doomed), 0)
            .map_err(cannot(name, "remove it"))?;
        Ok(true)
    }
}

impl AsFd for MirrorTap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn cannot(name: &str, action: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Tap {
        name: name.to_owned(),
        action,
        source,
    }
}

/// Whether a tap may have this name: the kernel's own conditions (dev_valid_name), and `%`, which
/// would number the tap.
///
/// # Errors
/// [`Error::BadInterfaceName`].
pub fn check_name(name: &str) -> Result<(), Error> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | ':' | '%');
    let fits = (1..tun::NAME_MAX).contains(&name.len()) && name != "." && name != "..";
    if fits && !name.contains(odd) {
        Ok(())
    } else {
        Err(Error::BadInterfaceName {
            name: name.to_owned(),
        })
    }
}

fn attach(namespace: &Namespace, name: &str) -> Result<OwnedFd, Error> {
    // A tun file belongs to the namespace that it was opened in.
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let tun = namespace.run(|| rustix::fs::open("/dev/net/tun", flags, Mode::empty()))?;
    let tun = tun.map_err(|error| Error::NoTun {
        source: error.into(),
    })?;
    let until = Instant::now() + LET_GO;
    loop {
        let error = match tun::attach(tun.as_fd(), name) {
            Ok(()) => return Ok(tun),
            Err(error) => error,
        };
        match Errno::from_io_error(&error) {
            Some(Errno::BUSY) if Instant::now() < until => thread::sleep(LET_GO / 10),
            Some(Errno::BUSY) => {
                return Err(Error::TapInUse {
                    name: name.to_owned(),
                });
            }
            Some(Errno::INVAL) => {
                return Err(Error::NotATap {
                    name: name.to_owned(),
                });
            }
            _ => return Err(cannot(name, "attach to it")(error)),
        }
    }
}

fn find(netlink: &mut Requests, name: &str) -> Result<Option<LinkMessage>, Error> {
    let mut wanted = LinkMessage::default();
    wanted
        .attributes
        .push(LinkAttribute::IfName(name.to_owned()));
    match netlink.get(RouteNetlinkMessage::GetLink(wanted)) {
        Ok(Some(RouteNetlinkMessage::NewLink(found))) => Ok(Some(found)),
        Ok(_) => Ok(None),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::NODEV) => Ok(None),
        Err(error) => Err(cannot(name, "look it up")(error)),
    }
}

/// A tap takes a new hardware address while it is up (IFF_LIVE_ADDR_CHANGE): it never goes down for
/// it, which would flush its IPv6 addresses and routes.
fn set_up(
    netlink: &mut Requests,
    link: &LinkMessage,
    config: &TapConfig,
    created: bool,
) -> Result<(), Error> {
    let mut change = LinkMessage::default();
    change.header.index = link.header.index;
    let mac = config.mac.0.to_vec();
    if !link
        .attributes
        .contains(&LinkAttribute::Address(mac.clone()))
    {
        change.attributes.push(LinkAttribute::Address(mac));
    }
    let too_large = |a: &LinkAttribute| matches!(a, LinkAttribute::Mtu(mtu) if *mtu > config.mtu);
    if created || link.attributes.iter().any(too_large) {
        change.attributes.push(LinkAttribute::Mtu(config.mtu));
    }
    if created {
        change.header.flags = LinkFlags::Up;
        change.header.change_mask = LinkFlags::Up;
    }
    if change.attributes.is_empty() && !created {
        return Ok(());
    }
    netlink
        .change(RouteNetlinkMessage::SetLink(change), 0)
        .map_err(cannot(&config.name, "set its hardware address and MTU"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_names() {
        for good in ["pvs0", "a", "enp0s3.100", "fifteen-letters"] {
            check_name(good).unwrap();
        }
        for bad in [
            "",
            "sixteen-letters!",
            "a/b",
            "a b",
            "tap%d",
            "a:1",
            ".",
            "..",
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
