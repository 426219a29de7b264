//! Every bound of this crate, and what it costs.

/// Virtual services at most. A slot is 8 bytes of each snapshot.
pub const SERVICES_MAX: usize = 16_384;

/// Real servers at most, over all services, those included that were removed but still have
/// connections. Each costs a worker one cache line (64 bytes): 8 MiB in all.
pub const SERVERS_MAX: usize = 131_072;

/// Mark rules at most. Each is asked of every packet that begins a connection, and of every packet
/// if one of them drops: some nanoseconds.
pub const MARK_RULES_MAX: usize = 4096;

/// Largest weight; the kernel keeps it in a signed integer.
pub const WEIGHT_MAX: u32 = i32::MAX as u32;

/// Longest timeout that `ipvsadm --set` and `-p` take, in seconds: 31 days.
pub const TIMEOUT_SECS_MAX: u32 = 2_678_400;

/// Parts of the cache of an lblc or lblcr service, each with a lock of its own.
pub const CACHE_PARTS: usize = 64;

/// Destination addresses that a part remembers at most: in all 24,576, half as many again
/// as the 16,384 from which on the kernel begins to forget. With lblc each costs 32 bytes,
/// 0.8 MB for each service.
pub const CACHE_PART_ENTRIES_MAX: usize = 384;

/// Servers in the set of a destination address with lblcr; when one more comes the oldest is
/// forgotten. An entry costs 176 bytes, 4.3 MB for each service.
pub const CACHE_SET_MAX: usize = 16;
