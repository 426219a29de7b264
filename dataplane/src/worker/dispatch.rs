//! The last stage: every packet of the burst goes out, to Linux, into the
//! waiting room, or is freed.

use super::cut::{self, Exit, Outlet};
use super::datagram::{self, Origin};
use super::lane::{Verdict, Verdicts};
use super::pieces::Complete;
use super::plan::{Cut, Place6};
use super::{Access, Lineup, Shared, State, View, local};
use crate::fib::PortIndex;
use crate::handover::{HandOver, Handed, Purpose};
use crate::port::{BURST, Batch, Buf, Port};
use crate::punt::Punted;
use crate::reason::DropReason;
use crate::steering::WorkerIndex;

/// Carries out the verdicts, in the order in which the packets came.
#[inline]
pub(super) fn dispatch<P: Port>(
    view: &View<'_>,
    state: &mut State<P::Buf>,
    ports: &mut [Lineup<P>],
    shared: &Shared<P::Buf>,
    port: PortIndex,
    batch: Batch<P::Buf>,
    verdicts: &Verdicts,
) {
    for (buf, verdict) in batch.into_iter().zip(verdicts.iter()) {
        match verdict {
            verdict if view.rehearse_failure && verdict.leaves() => {
                view.stats.count_dropped(DropReason::Rehearsal, 1);
            }
            Verdict::Send(out) | Verdict::Answer(out) => {
                send(view, ports, &shared.handover, out, buf);
            }
            Verdict::Wait(wants, mtu) => {
                if !state.waiting.enter(buf, (wants, mtu), view.now) {
                    view.stats.count_dropped(DropReason::NeighbourQueueFull, 1);
                }
            }
            Verdict::Punt(class) => {
                shared.punt.push(class, Punted { buf, port });
            }
            Verdict::Cut(out, mtu) => send_long(view, state, ports, shared, out, buf, mtu),
            Verdict::Gather => {
                datagram::arrive(view, state, ports, shared, port, buf, Origin::Port);
            }
            Verdict::HandOver(owner) => hand_over(
                view,
                &shared.handover,
                owner,
                Handed {
                    buf,
                    port,
                    purpose: Purpose::Decide,
                },
            ),
            Verdict::Seek => {
                let purpose = Purpose::Seek(view.index);
                let frame = Handed { buf, port, purpose };
                hand_over(view, &shared.handover, next_worker(view), frame);
            }
            Verdict::Lose(loss) => view.stats.count_loss(loss),
        }
    }
}

/// Lines a packet up in pieces, which is longer than its way takes.
#[cold]
#[inline(never)]
fn send_long<P: Port>(
    view: &View<'_>,
    state: &mut State<P::Buf>,
    ports: &mut [Lineup<P>],
    shared: &Shared<P::Buf>,
    port: PortIndex,
    buf: P::Buf,
    mtu: u16,
) {
    let cut = Cut {
        longest: mtu.into(),
        always: false,
        keeps: false,
        place6: Place6::plain(state.hops.identification().into()),
    };
    let waiting = &mut state.waiting;
    let mut exit = Exit {
        view,
        ports,
        shared,
        waiting,
    };
    cut::send(&mut exit, Outlet::Port(port), buf, Complete::new(), &cut);
}

/// Lines a frame up to leave by a port.
#[inline]
pub(super) fn send<P: Port>(
    view: &View<'_>,
    ports: &mut [Lineup<P>],
    handover: &HandOver<P::Buf>,
    port: PortIndex,
    buf: P::Buf,
) {
    let Some(lineup) = ports.get_mut(usize::from(port.0)) else {
        view.stats.count_dropped(DropReason::NoPort, 1);
        return;
    };
    if lineup.out.is_full() {
        transmit(view, lineup, handover, port);
    }
    // There is room now.
    let _ = lineup.out.try_push(buf);
}

#[inline]
fn transmit<P: Port>(
    view: &View<'_>,
    lineup: &mut Lineup<P>,
    handover: &HandOver<P::Buf>,
    port: PortIndex,
) {
    let queue = match &mut lineup.access {
        Access::Own(queue) => queue,
        Access::By(worker, _) => return relay(view, handover, *worker, port, &mut lineup.out),
    };
    let offered = lineup.out.len() as u64;
    let refused = u64::from(queue.tx(&mut lineup.out));
    view.stats.count_sent(offered.saturating_sub(refused));
    if refused > 0 {
        view.stats.count_dropped(DropReason::TxRefused, refused);
    }
}

/// Lets another worker send what is lined up.
#[cold]
fn relay<B: Buf>(
    view: &View<'_>,
    handover: &HandOver<B>,
    worker: WorkerIndex,
    port: PortIndex,
    out: &mut Batch<B>,
) {
    for buf in core::mem::take(out) {
        let purpose = Purpose::Transmit;
        hand_over(view, handover, worker, Handed { buf, port, purpose });
    }
}

/// The worker behind this one, in a round of all.
pub(super) fn next_worker(view: &View<'_>) -> WorkerIndex {
    let next = view.index.0.wrapping_add(1);
    WorkerIndex(if next < view.steering.workers() {
        next
    } else {
        0
    })
}

/// Gives a frame to another worker, or frees it if that one has too many.
pub(super) fn hand_over<B>(
    view: &View<'_>,
    handover: &HandOver<B>,
    to: WorkerIndex,
    frame: Handed<B>,
) {
    let purpose = frame.purpose;
    if !handover.give(to, frame) {
        view.stats.count_dropped(DropReason::HandOverFull, 1);
        return;
    }
    match purpose {
        Purpose::Transmit => view.stats.count_relayed(),
        _ => view.stats.count_handed_over(),
    }
}

/// Sends what is lined up.
#[inline]
pub(super) fn flush<P: Port>(
    view: &View<'_>,
    ports: &mut [Lineup<P>],
    handover: &HandOver<P::Buf>,
) {
    for (at, lineup) in (0u16..).zip(ports.iter_mut()) {
        if !lineup.out.is_empty() {
            transmit(view, lineup, handover, PortIndex(at));
        }
    }
}

/// Lines up what Linux sends, at most a burst in each turn; replies of the director's own
/// servers are translated first.
#[inline]
pub(super) fn inject<P: Port>(
    view: &View<'_>,
    state: &mut State<P::Buf>,
    ports: &mut [Lineup<P>],
    shared: &Shared<P::Buf>,
) -> usize {
    let mut moved = 0;
    while moved < BURST {
        let Some(mut frame) = shared.inject.pop() else {
            break;
        };
        moved += 1;
        view.stats.count_injected();
        if local::translate(view, state, &mut frame.buf) {
            send(view, ports, &shared.handover, frame.port, frame.buf);
        } else {
            let (port, buf) = (frame.port, frame.buf);
            datagram::arrive(view, state, ports, shared, port, buf, Origin::Linux);
        }
    }
    moved
}
