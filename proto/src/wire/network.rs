//! What the two IP headers have in common, and the family that they belong to.

use super::{ipv4, ipv6};
use crate::addr::{Address, Family, V4, V6};
use crate::checksum::{Delta, Sum};
use crate::meta::Protocol;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// An IPv4 or IPv6 header, as rewriting sees it.
///
/// The setters of addresses keep the header's own checksum right, where it has one, and return the
/// difference that the transport's checksum must follow.
pub trait IpHeader: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned {
    /// Its addresses.
    type Addr: Address;
    /// The source address.
    fn src(&self) -> Self::Addr;
    /// The destination address.
    fn dst(&self) -> Self::Addr;
    /// Replaces the source address.
    fn set_src(&mut self, addr: Self::Addr) -> Delta;
    /// Replaces the destination address.
    fn set_dst(&mut self, addr: Self::Addr) -> Delta;
    /// Time to live, or hop limit.
    fn ttl(&self) -> u8;
    /// Replaces time to live or hop limit.
    fn set_ttl(&mut self, ttl: u8);
    /// Takes the DF bit off, where there is one.
    fn allow_fragments(&mut self);
    /// Type of service, or traffic class.
    fn tos(&self) -> u8;
    /// Writes the whole header, checksum included.
    fn write(&mut self, plain: &Plain<Self::Addr>);
}

/// What a header of one's own says: without options, without a flow label, no fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain<A> {
    /// The source address.
    pub src: A,
    /// The destination address.
    pub dst: A,
    /// What follows the header.
    pub next: Protocol,
    /// Type of service, or traffic class.
    pub tos: u8,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// Bytes behind the header.
    pub payload_len: u16,
    /// Identification; IPv6 has none.
    pub id: u16,
    /// DF; IPv6 has none.
    pub dont_fragment: bool,
}

/// A family with its header's byte view.
pub trait Network: Family {
    /// The family's header.
    type Header: IpHeader<Addr = Self::Addr>;

    /// The header at `l3` of a frame, to be rewritten; `None` if it does not lie in the frame.
    fn header_mut(frame: &mut [u8], l3: u16) -> Option<&mut Self::Header> {
        let bytes = frame.get_mut(usize::from(l3)..)?;
        let (header, _) = Self::Header::mut_from_prefix(bytes).ok()?;
        Some(header)
    }

    /// The header at `l3` of a frame; `None` if it does not lie in the frame.
    fn header(frame: &[u8], l3: u16) -> Option<&Self::Header> {
        let (header, _) = Self::Header::ref_from_prefix(frame.get(usize::from(l3)..)?).ok()?;
        Some(header)
    }

    /// Computes the checksum of the header at `l3` anew, over its options too; IPv6 has none.
    /// `None` if the header does not lie in the frame.
    fn fill_checksum(frame: &mut [u8], l3: u16) -> Option<()>;

    /// Lets the header at `l3` reach over so many bytes of options more; IPv6 has
    /// none. `None` if it can't.
    fn lengthen(frame: &mut [u8], l3: u16, options: usize) -> Option<()>;
}

impl Network for V4 {
    type Header = ipv4::Header;

    fn fill_checksum(frame: &mut [u8], l3: u16) -> Option<()> {
        let len = Self::header(frame, l3)?.header_len();
        let start = usize::from(l3);
        Self::header_mut(frame, l3)?.checksum.set(0);
        let sum = Sum::of(frame.get(start..start.checked_add(len)?)?);
        Self::header_mut(frame, l3)?.checksum.set(sum.finish());
        Some(())
    }

    fn lengthen(frame: &mut [u8], l3: u16, options: usize) -> Option<()> {
        let header = Self::header_mut(frame, l3)?;
        let words = (header.header_len() + options).div_ceil(4);
        let words = u8::try_from(words).ok().filter(|words| *words <= 15)?;
        header.version_ihl = (4 << 4) | words;
        Self::fill_checksum(frame, l3)
    }
}

impl Network for V6 {
    type Header = ipv6::Header;

    fn fill_checksum(_: &mut [u8], _: u16) -> Option<()> {
        Some(())
    }

    fn lengthen(_: &mut [u8], _: u16, _: usize) -> Option<()> {
        None
    }
}
