//! pvsadm: ipvsadm's words for pvsd.

fn main() {}
