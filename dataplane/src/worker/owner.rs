//! The owner check: a connection belongs to one worker, and every packet is asked whether it is there.
//!
//! The owner follows from the client's endpoint, which a request has as its source and a translated
//! reply as its destination, so both directions meet the same worker.

use pvs_proto::{Address, Endpoint, Family, Meta};

/// Whose packets this worker forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steering {
    worker: u16,
    workers: u16,
}

impl Steering {
    /// One worker, which owns everything.
    pub const ALONE: Self = Self {
        worker: 0,
        workers: 1,
    };

    /// True if the packet's connection is this worker's. A packet to a local address is a request: its
    /// client is the source.
    #[inline]
    pub(super) fn owns<F: Family>(
        self,
        meta: &Meta<F>,
        is_local: impl FnOnce(F::Addr) -> bool,
    ) -> bool {
        if self.workers <= 1 {
            return true;
        }
        let client = if is_local(meta.dst.addr) {
            meta.src
        } else {
            meta.dst
        };
        self.owner(client) == self.worker
    }

    /// The worker that owns the connections of a client.
    fn owner<A: Address>(self, client: Endpoint<A>) -> u16 {
        let word = client.addr.fold() ^ (u64::from(client.port) << 32);
        let mixed = word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        (mixed.wrapping_mul(self.workers.into()) >> 32) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pvs_proto::{Addr4, V4};

    #[test]
    fn both_directions_of_a_connection_have_one_owner_and_all_workers_get_some() {
        let vip = Addr4::from_wire([10, 0, 0, 100]);
        let mut owned = [0; 4];
        for port in 1024..5120 {
            let client = Endpoint {
                addr: Addr4::from_wire([10, 9, 0, 1]),
                port,
            };
            let inside = Endpoint {
                addr: Addr4::from_wire([192, 168, 1, 1]),
                port: 80,
            };
            let request = meta(
                client,
                Endpoint {
                    addr: vip,
                    port: 80,
                },
            );
            let reply = meta(inside, client);
            let owners: Vec<u16> = (0..4)
                .filter(|w| {
                    Steering {
                        worker: *w,
                        workers: 4,
                    }
                    .owns(&request, |a| a == vip)
                })
                .collect();
            assert_eq!(owners.len(), 1);
            assert!(
                Steering {
                    worker: owners[0],
                    workers: 4
                }
                .owns(&reply, |a| a == vip)
            );
            owned[usize::from(owners[0])] += 1;
        }
        assert!(owned.iter().all(|n| *n > 800), "{owned:?}");
    }

    fn meta(src: Endpoint<Addr4>, dst: Endpoint<Addr4>) -> Meta<V4> {
        Meta {
            src,
            dst,
            ip_len: 40,
            fragment_id: 0,
            l3: 14,
            l4: 34,
            protocol: pvs_proto::Protocol::TCP,
            signal: 0,
            ttl: 64,
            fragment: pvs_proto::Fragment::None,
            dont_fragment: true,
        }
    }
}
