//! UDP has one state, in which a connection lives as long as datagrams come.

/// The only state.
pub const NORMAL: u8 = 0;

/// Its name in listings.
pub const LABEL: &str = "UDP";
