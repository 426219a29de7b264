//! Internet checksums (RFC 1071), their incremental update (RFC 1624), and SCTP's CRC32c.
//!
//! Three layers: [`Sum`] adds bytes, [`Delta`] collects what a rewrite changed and applies it to as
//! many checksums as the change reaches, and [`fill`], [`update`] and [`is_right`] know where each
//! transport keeps its checksum and what it covers. Whether a device completes a checksum is an
//! argument ([`Offload`]), never a global.

mod crc32c;
mod delta;
mod sum;
mod transport;

pub use crc32c::Crc32c;
pub use delta::Delta;
pub use sum::Sum;
pub use transport::{
    Offload, Update, fill, fill_pieces, is_right, is_right_sum, pseudo_header, update,
};
