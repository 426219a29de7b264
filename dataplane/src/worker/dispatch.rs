//! The last stage: every packet of the burst goes out, to Linux, into the waiting room, or is freed.

use super::lane::{Verdict, Verdicts};
use super::{Lineup, Shared, State, View, local};
use crate::fib::PortIndex;
use crate::port::{BURST, Batch, Port};
use crate::punt::{InjectRing, Punted};
use crate::reason::DropReason;

/// Carries out the verdicts, in the order in which the packets came.
#[inline]
pub(super) fn dispatch<P: Port>(
    view: &View<'_>,
    state: &mut State<P::Buf>,
    ports: &mut [Lineup<P>],
    shared: &Shared<P::Buf>,
    port: PortIndex,
    batch: Batch<P::Buf>,
    verdicts: Verdicts,
) {
    for (buf, verdict) in batch.into_iter().zip(verdicts.into_iter()) {
        match verdict {
            Verdict::Send(_) | Verdict::Wait(..) if view.rehearse_failure => {
                view.stats.count_dropped(DropReason::Rehearsal, 1);
            }
            Verdict::Send(out) => send(view, ports, out, buf),
            Verdict::Wait(interface, neighbour) => {
                if !state.waiting.enter(buf, interface, neighbour, view.now) {
                    view.stats.count_dropped(DropReason::NeighbourQueueFull, 1);
                }
            }
            Verdict::Punt(class) => {
                shared.punt.push(class, Punted { buf, port });
            }
            Verdict::Lose(loss) => view.stats.count_loss(loss),
        }
    }
}

/// Lines a frame up to leave by a port.
#[inline]
pub(super) fn send<P: Port>(
    view: &View<'_>,
    ports: &mut [Lineup<P>],
    port: PortIndex,
    buf: P::Buf,
) {
    let Some(lineup) = ports.get_mut(usize::from(port.0)) else {
        view.stats.count_dropped(DropReason::NoPort, 1);
        return;
    };
    if lineup.out.is_full() {
        transmit(view, lineup);
    }
    // There is room now.
    let _ = lineup.out.try_push(buf);
}

#[inline]
fn transmit<P: Port>(view: &View<'_>, lineup: &mut Lineup<P>) {
    let offered = lineup.out.len() as u64;
    let refused = u64::from(lineup.port.tx(&mut lineup.out));
    view.stats.count_sent(offered.saturating_sub(refused));
    if refused > 0 {
        view.stats.count_dropped(DropReason::TxRefused, refused);
    }
}

/// Sends what is lined up.
#[inline]
pub(super) fn flush<P: Port>(view: &View<'_>, ports: &mut [Lineup<P>]) {
    for lineup in ports.iter_mut().filter(|l| !l.out.is_empty()) {
        transmit(view, lineup);
    }
}

/// Lines up what Linux sends, at most a burst in each turn; replies of the director's own servers are
/// translated first.
#[inline]
pub(super) fn inject<P: Port>(
    view: &View<'_>,
    state: &mut State<P::Buf>,
    ports: &mut [Lineup<P>],
    ring: &InjectRing<P::Buf>,
) -> usize {
    let mut moved = 0;
    while moved < BURST {
        let Some(mut frame) = ring.pop() else { break };
        view.stats.count_injected();
        local::translate(view, state, &mut frame.buf);
        send(view, ports, frame.port, frame.buf);
        moved += 1;
    }
    moved
}
