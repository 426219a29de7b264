//! What other workers give to this one: packets of its connections, and frames for its queues.

use super::datagram::{self, Origin};
use super::{Lineup, Shared, State, View, dispatch, related};
use crate::handover::{HANDOVER_PER_PORT, Purpose};
use crate::port::{Buf, Port};
use crate::reason::DropReason;
use crate::steering::Mode;
use pvs_proto::{Family, V4, V6, parse_link};

/// Takes a bounded number of frames out of the ring: those to be sent are lined up, the others wait
/// at their port to be carried through the stages, but for pieces of datagrams that are collected
/// here. Returns how many do not wait.
#[inline]
pub(super) fn collect<P: Port>(
    view: &View<'_>,
    state: &mut State<P::Buf>,
    ports: &mut [Lineup<P>],
    shared: &Shared<P::Buf>,
) -> usize {
    if view.steering.mode() == Mode::Alone {
        return 0;
    }
    collect_some(view, state, ports, shared)
}

/// Apart, so that a lone worker's loop stays small.
#[inline(never)]
fn collect_some<P: Port>(
    view: &View<'_>,
    state: &mut State<P::Buf>,
    ports: &mut [Lineup<P>],
    shared: &Shared<P::Buf>,
) -> usize {
    let mut sent = 0;
    for _ in 0..HANDOVER_PER_PORT * ports.len() {
        // A full batch is carried first.
        if ports.iter().any(|lineup| lineup.handed.is_full()) {
            break;
        }
        let Some(frame) = shared.handover.take(view.index) else {
            break;
        };
        view.stats.count_taken_over();
        let origin = match frame.purpose {
            Purpose::Transmit => {
                dispatch::send(view, ports, &shared.handover, frame.port, frame.buf);
                sent += 1;
                continue;
            }
            Purpose::Gather => Some(Origin::Port),
            Purpose::Translate => Some(Origin::LinuxByWorker),
            Purpose::Decide => None,
            Purpose::Seek(first) => {
                let next = dispatch::next_worker(view);
                if next != first && !is_known(view, state, frame.buf.bytes()) {
                    dispatch::hand_over(view, &shared.handover, next, frame);
                    sent += 1;
                    continue;
                }
                // Its own; or nobody's, and the last one gives it to Linux.
                None
            }
        };
        if let Some(origin) = origin {
            datagram::arrive(view, state, ports, shared, frame.port, frame.buf, origin);
            sent += 1;
            continue;
        }
        let lineup = ports.get_mut(usize::from(frame.port.0));
        if lineup.is_none_or(|lineup| lineup.handed.try_push(frame.buf).is_err()) {
            view.stats.count_dropped(DropReason::NoPort, 1);
        }
    }
    sent
}

/// This worker has the connection that an ICMP error is about.
#[cold]
fn is_known<B>(view: &View<'_>, state: &State<B>, frame: &[u8]) -> bool {
    match parse_link(frame) {
        Ok((link, V4::ETHERTYPE)) => related::is_known(view, &state.v4, frame, link.l3.into()),
        Ok((link, V6::ETHERTYPE)) => related::is_known(view, &state.v6, frame, link.l3.into()),
        _ => false,
    }
}
