//! What pvsd tells of itself: plain data, filled by the composition root, shown by pvsadm.
//!
//! Names of fields are those of the JSON that operators' programs read: they are added to, and never
//! change their meaning. Nothing here knows a worker, a device or netlink.

mod losses;

pub use losses::{LossPlace, LossView};
