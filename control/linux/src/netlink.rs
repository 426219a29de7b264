//! Netlink route sockets: requests with their answers, and the stream of events.
//!
//! A thin layer over netlink-sys and netlink-packet-route. What a message means is decided in
//! [`crate::mirror`]; a message that cannot be decoded is counted and left out, since one attribute
//! of a newer kernel must not stop the director. Each kind of them is logged once.

use crate::{Error, Namespace};
use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST};
use netlink_packet_core::{
    NetlinkBuffer, NetlinkHeader, NetlinkMessage, NetlinkPayload, ParseableParametrized,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// RTM_NEWNEXTHOP and RTM_DELNEXTHOP (linux/rtnetlink.h).
const NEXTHOPS: [u16; 2] = [104, 105];

/// How long the kernel may take to answer a request.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How often a listing is begun anew because it changed meanwhile.
const DUMP_TRIES: u32 = 5;
/// Room for events that wait for the watcher.
const EVENT_BYTES: usize = 8 << 20;

/// RTNLGRP_*: links, neighbours, IPv4 addresses, routes and rules, IPv6 addresses, routes and
/// rules, next-hop objects (linux/rtnetlink.h).
const GROUPS: [u32; 9] = [1, 3, 5, 7, 8, 9, 11, 19, 32];

/// A socket for requests: one question, one answer.
#[derive(Debug)]
pub(crate) struct Requests {
    socket: Socket,
    sequence: u32,
    pub(crate) unread: Unread,
}

/// A message with the flags of its header.
pub(crate) struct Message {
    pub(crate) body: RouteNetlinkMessage,
    pub(crate) flags: u16,
}

impl Requests {
    pub(crate) fn open(namespace: &Namespace) -> Result<Self, Error> {
        let open = || -> io::Result<Socket> {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(ANSWER_LIMIT))?;
            Ok(socket)
        };
        let socket = namespace.run(open)?.map_err(failed("open a socket"))?;
        Ok(Self {
            socket,
            sequence: 0,
            unread: Unread::default(),
        })
    }

    fn send(&mut self, body: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.sequence_number = self.sequence;
        header.flags = NLM_F_REQUEST | flags;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(body));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
        Ok(())
    }

    /// A change, and the kernel's word on it.
    pub(crate) fn change(&mut self, body: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.send(body, NLM_F_ACK | flags)?;
        self.answers(&mut |_| ()).map(|_| ())
    }

    /// One object.
    pub(crate) fn get(
        &mut self,
        body: RouteNetlinkMessage,
    ) -> io::Result<Option<RouteNetlinkMessage>> {
        self.send(body, NLM_F_ACK)?;
        let mut found = None;
        self.answers(&mut |message| found = Some(message))?;
        Ok(found)
    }

    /// A whole listing, each message turned into what the caller keeps of it.
    pub(crate) fn dump<T>(
        &mut self,
        action: &'static str,
        body: &RouteNetlinkMessage,
        mut keep: impl FnMut(RouteNetlinkMessage) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        for _ in 0..DUMP_TRIES {
            let mut kept = Vec::new();
            self.send(body.clone(), NLM_F_DUMP)
                .map_err(failed(action))?;
            let whole = self
                .answers(&mut |message| kept.extend(keep(message)))
                .map_err(failed(action))?;
            if whole {
                return Ok(kept);
            }
        }
        Err(failed(action)(io::Error::other(
            "it changed each time while it was being listed",
        )))
    }

    /// Takes the answers to the last request; false if the listing was interrupted by a change.
    fn answers(&mut self, each: &mut dyn FnMut(RouteNetlinkMessage)) -> io::Result<bool> {
        let mut whole = true;
        loop {
            let (bytes, from) = self.socket.recv_from_full()?;
            if from.port_number() != 0 {
                continue;
            }
            for raw in split(&bytes) {
                if raw.sequence_number() != self.sequence {
                    continue;
                }
                whole &= raw.flags() & NLM_F_DUMP_INTR == 0;
                match raw.message_type() {
                    NLMSG_NOOP => (),
                    NLMSG_ERROR | NLMSG_DONE => return ended(raw.payload()).map(|()| whole),
                    _ => {
                        if let Some(message) = self.unread.decode(&raw) {
                            each(message);
                        }
                    }
                }
            }
        }
    }
}

/// What the kernel says at the end of an answer: 0, or a negative error number.
fn ended(payload: &[u8]) -> io::Result<()> {
    let code = payload
        .first_chunk()
        .map_or(0, |bytes| i32::from_ne_bytes(*bytes));
    if code < 0 {
        Err(io::Error::from_raw_os_error(code.saturating_neg()))
    } else {
        Ok(())
    }
}

/// The messages in one datagram.
pub(crate) fn split(mut bytes: &[u8]) -> impl Iterator<Item = NetlinkBuffer<&[u8]>> {
    std::iter::from_fn(move || {
        let message = NetlinkBuffer::new_checked(bytes).ok()?;
        let aligned = (message.length() as usize).next_multiple_of(4);
        bytes = bytes.get(aligned..).unwrap_or_default();
        Some(message)
    })
}

/// Messages that could not be decoded, by kind.
#[derive(Debug, Default)]
pub(crate) struct Unread(BTreeMap<u16, u64>);

impl Unread {
    pub(crate) fn decode(&mut self, raw: &NetlinkBuffer<&[u8]>) -> Option<RouteNetlinkMessage> {
        let kind = raw.message_type();
        match RouteNetlinkMessage::parse_with_param(raw.payload(), kind) {
            Ok(message) => Some(message),
            Err(error) => {
                let count = self.0.entry(kind).or_default();
                if *count == 0 {
                    tracing::warn!(
                        kind,
                        %error,
                        "a netlink message could not be decoded; more of this kind are counted only"
                    );
                }
                *count += 1;
                None
            }
        }
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.0.values().sum()
    }
}

/// Turns an error number into the crate's error.
pub(crate) fn failed(action: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Netlink { action, source }
}

/// What the stream of events brought.
pub(crate) enum Event {
    /// Something changed.
    Message(Message),
    /// A next-hop object changed, and routes through it perhaps silently.
    NextHop,
    /// Something changed, and nobody knows what.
    Unread,
    /// Events were lost.
    Overrun,
}

/// The stream of events.
#[derive(Debug)]
pub(crate) struct Events {
    socket: Socket,
    pub(crate) unread: Unread,
}

impl Events {
    pub(crate) fn open(namespace: &Namespace) -> Result<Self, Error> {
        let open = || -> io::Result<Socket> {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            // Beyond net.core.rmem_max only with CAP_NET_ADMIN in the first user namespace.
            if sockopt::set_socket_recv_buffer_size_force(&socket, EVENT_BYTES).is_err() {
                sockopt::set_socket_recv_buffer_size(&socket, EVENT_BYTES)?;
            }
            socket.bind_auto()?;
            for group in GROUPS {
                match socket.add_membership(group) {
                    // Next-hop objects came with Linux 5.3.
                    Err(_) if group == 32 => (),
                    other => other?,
                }
            }
            socket.set_non_blocking(true)?;
            Ok(socket)
        };
        let socket = namespace.run(open)?;
        Ok(Self {
            socket: socket.map_err(failed("subscribe to events"))?,
            unread: Unread::default(),
        })
    }

    /// Waits until an event may be there; false if the time is up.
    pub(crate) fn wait(&self, limit: Duration) -> Result<bool, Error> {
        let limit = Timespec::try_from(limit).ok();
        let mut fds = [PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::IN)];
        match poll(&mut fds, limit.as_ref()) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(failed("wait for events")(error.into())),
        }
    }

    /// Hands over every event that is there; true if there was one.
    pub(crate) fn drain(&mut self, mut each: impl FnMut(Event)) -> Result<bool, Error> {
        let mut any = false;
        loop {
            match self.socket.recv_from_full() {
                Ok((bytes, from)) if from.port_number() == 0 => {
                    any = true;
                    for raw in split(&bytes) {
                        if NEXTHOPS.contains(&raw.message_type()) {
                            each(Event::NextHop);
                            continue;
                        }
                        let flags = raw.flags();
                        let body = self.unread.decode(&raw);
                        each(body.map_or(Event::Unread, |body| {
                            Event::Message(Message { body, flags })
                        }));
                    }
                }
                Ok(_) => (),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(any),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) if error.raw_os_error() == Some(Errno::NOBUFS.raw_os_error()) => {
                    any = true;
                    each(Event::Overrun);
                }
                Err(error) => return Err(failed("read events")(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_decoded_is_counted_by_kind() {
        const RTM_NEWLINK: u16 = 16;
        let mut bytes = [0; 20];
        bytes[0] = 20;
        bytes[4..6].copy_from_slice(&RTM_NEWLINK.to_ne_bytes());
        let mut unread = Unread::default();
        for raw in split(&bytes) {
            assert!(unread.decode(&raw).is_none(), "four bytes are no link");
            assert!(unread.decode(&raw).is_none());
        }
        assert_eq!((unread.count(), unread.0.len()), (2, 1));
    }
}
