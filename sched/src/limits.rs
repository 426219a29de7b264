//! Every bound of this crate, and what it costs.

/// Virtual services at most. A slot is 8 bytes of each snapshot.
pub const SERVICES_MAX: usize = 16_384;

/// Real servers at most, over all services, those included that were removed but still have
/// connections. Each costs a worker one cache line (64 bytes): 8 MiB in all.
pub const SERVERS_MAX: usize = 131_072;

/// Largest weight; the kernel keeps it in a signed integer.
pub const WEIGHT_MAX: u32 = i32::MAX as u32;

/// Longest timeout that `ipvsadm --set` and `-p` take, in seconds: 31 days.
pub const TIMEOUT_SECS_MAX: u32 = 2_678_400;
