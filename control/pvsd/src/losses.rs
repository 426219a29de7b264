//! Why packets were lost: by the workers, on the way to Linux and from it, in the devices.

use pvs_control::status::{LossPlace, LossView, PortView};
use pvs_dataplane::punt::{INJECT_RING_MAX, PUNT_RING_MAX, PuntClass, PuntRings};
use pvs_dataplane::reason::Loss;
use pvs_dataplane::stats::WorkerStats;
use pvs_linux::ExchangeCounters;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What the workers dropped, every reason there is.
pub fn of_workers<'a>(workers: impl Iterator<Item = &'a WorkerStats> + Clone) -> Vec<LossView> {
    let view = |loss: Loss| LossView {
        reason: loss.label().to_owned(),
        place: match loss {
            Loss::Malformed(_) => LossPlace::Malformed,
            Loss::Dropped(_) => LossPlace::Dropped,
        },
        packets: workers.clone().map(|worker| worker.lost(loss)).sum(),
        sentence: loss.sentence().to_owned(),
    };
    Loss::all().map(view).collect()
}

/// What did not get to Linux.
pub fn of_punts<B>(rings: &PuntRings<B>) -> impl Iterator<Item = LossView> {
    PuntClass::ALL.into_iter().map(|class| {
        let label = class.label();
        let sentence = format!(
            "Frames for Linux of the class \"{label}\" came faster than Linux took them: {PUNT_RING_MAX} wait at most."
        );
        lost(&format!("punt_{label}_full"), rings.counts(class).1, &sentence)
    })
}

/// What was lost between the rings and the taps.
pub fn of_exchange(counters: &ExchangeCounters) -> [LossView; 5] {
    let read = |counter: &AtomicU64| counter.load(Relaxed);
    let full = format!(
        "Linux sent faster than the worker took it: {INJECT_RING_MAX} frames wait at most."
    );
    [
        lost(
            "tap_refused",
            read(&counters.refused_by_linux),
            "Linux did not take the frame: the tap is down, or its queue is full.",
        ),
        lost(
            "tap_gone",
            read(&counters.no_tap),
            "The port has no mirror tap: it was deleted.",
        ),
        lost("inject_full", read(&counters.inject_full), &full),
        lost(
            "inject_no_buffer",
            read(&counters.pool_empty),
            "A frame from Linux found no free packet buffer: memory.buffers says how many there are.",
        ),
        lost(
            "inject_too_long",
            read(&counters.too_long),
            "A frame from Linux is longer than a packet buffer: the tap's MTU is above the port's.",
        ),
    ]
}

/// What the devices lost, over all ports.
pub fn of_devices(ports: &[PortView]) -> [LossView; 5] {
    let sum = |figure: fn(&PortView) -> u64| ports.iter().map(figure).sum();
    let lost = |reason, packets, sentence| at(LossPlace::Device, reason, packets, sentence);
    [
        lost(
            "rx_missed",
            sum(|port| port.rx_missed),
            "A device dropped what it received, since no worker took it in time.",
        ),
        lost(
            "rx_errors",
            sum(|port| port.rx_errors),
            "A device received an erroneous frame.",
        ),
        lost(
            "rx_no_buffer",
            sum(|port| port.rx_no_buffer),
            "A device found no free packet buffer: memory.buffers says how many there are.",
        ),
        lost(
            "rx_chained",
            sum(|port| port.rx_chained),
            "A frame came in several buffers: it is longer than the port's MTU.",
        ),
        lost(
            "tx_errors",
            sum(|port| port.tx_errors),
            "A device failed to send a frame.",
        ),
    ]
}

fn lost(reason: &str, packets: u64, sentence: &str) -> LossView {
    at(LossPlace::Linux, reason, packets, sentence)
}

fn at(place: LossPlace, reason: &str, packets: u64, sentence: &str) -> LossView {
    LossView {
        reason: reason.to_owned(),
        place,
        packets,
        sentence: sentence.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_one_name_and_a_sentence() {
        let workers = [WorkerStats::default(), WorkerStats::default()];
        let rings = PuntRings::<()>::new(1);
        let frame = || pvs_dataplane::punt::Punted {
            buf: (),
            port: pvs_dataplane::fib::PortIndex(0),
        };
        let fits = [(); 3].map(|()| rings.push(PuntClass::Local, frame()));
        assert_eq!(fits, [true, false, false]);
        let counters = ExchangeCounters::default();
        counters.no_tap.store(7, Relaxed);
        let mut all = of_workers(workers.iter());
        all.extend(of_punts(&rings));
        all.extend(of_exchange(&counters));
        all.extend(of_devices(&[]));
        let packets = |reason| all.iter().find(|l| l.reason == reason).unwrap().packets;
        assert_eq!((packets("punt_local_full"), packets("tap_gone")), (2, 7));
        for loss in &all {
            let same = all.iter().filter(|other| other.reason == loss.reason);
            assert_eq!(same.count(), 1, "{}", loss.reason);
            assert!(loss.sentence.ends_with('.'), "{}", loss.sentence);
        }
    }
}
