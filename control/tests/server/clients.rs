//! Clients that say nothing, too much, or nonsense.

use crate::support::{Running, add};
use pvs_control::command::Command;
use pvs_control::frame::{Request, Response, VERSION, decode, encode};
use pvs_control::limits::{CLIENTS_MAX, FRAME_TIME_MAX};
use pvs_control::reply::Outcome;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn a_frame_may_come_in_pieces_and_two_at_once() {
    let running = Running::start();
    let frame = encode(&Request {
        version: VERSION,
        commands: vec![Command::ListTimeouts],
    })
    .unwrap();
    let mut stream = UnixStream::connect(&running.path).unwrap();
    let (first, second) = frame.split_at(frame.len() / 2);
    stream.write_all(first).unwrap();
    thread::sleep(Duration::from_millis(50));
    stream.write_all(&[second, &frame].concat()).unwrap();
    let mut lines = BufReader::new(stream).lines();
    for _ in 0..2 {
        let response: Response = decode(lines.next().unwrap().unwrap().as_bytes()).unwrap();
        assert!(response.last && matches!(response.outcomes[..], [Outcome::Timeouts { .. }]));
    }
}

#[test]
fn silent_clients_hold_up_nobody_and_are_hung_up_on() {
    let running = Running::start();
    let silent: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = UnixStream::connect(&running.path).unwrap();
            stream.write_all(b"{\"version\":1,\"comm").unwrap();
            stream
        })
        .collect();
    let began = Instant::now();
    running.ask(&[add(1)]);
    assert!(began.elapsed() < Duration::from_secs(1));
    for mut stream in silent {
        let mut said = String::new();
        stream.set_read_timeout(Some(2 * FRAME_TIME_MAX)).unwrap();
        stream.read_to_string(&mut said).unwrap();
        assert!(said.contains("not complete within 5 seconds"), "{said}");
    }
}

#[test]
fn silent_clients_cannot_take_all_places() {
    let running = Running::start();
    let silent: Vec<_> = (0..CLIENTS_MAX + 30)
        .map(|_| {
            let mut stream = UnixStream::connect(&running.path).unwrap();
            stream.write_all(b"{\"version\":1,\"comm").unwrap();
            stream
        })
        .collect();
    let began = Instant::now();
    running.ask(&[add(1)]);
    assert!(began.elapsed() < FRAME_TIME_MAX, "{:?}", began.elapsed());
    drop(silent);
}

#[test]
fn clients_that_trickle_behind_what_was_refused_cannot_take_all_places() {
    let running = Running::start();
    let mut slow: Vec<_> = (0..CLIENTS_MAX)
        .map(|_| {
            let mut stream = UnixStream::connect(&running.path).unwrap();
            stream.write_all(b"x\n").unwrap();
            stream
        })
        .collect();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                for stream in &mut slow {
                    let _ = stream.write_all(b"x");
                }
                thread::sleep(Duration::from_millis(100));
            }
        });
        let began = Instant::now();
        let answered = running.ask(&[add(1)]);
        over.store(true, Relaxed);
        assert_eq!(answered.0, [Outcome::Done]);
        assert!(began.elapsed() < FRAME_TIME_MAX, "{:?}", began.elapsed());
    });
}

#[test]
fn two_hundred_clients_at_once() {
    let running = Running::start();
    thread::scope(|scope| {
        for last in 0..200 {
            let running = &running;
            scope.spawn(move || assert_eq!(running.ask(&[add(last)]).0, [Outcome::Done]));
        }
    });
    let (outcomes, _) = running.ask(&[Command::ListServices]);
    let Outcome::Services { services, .. } = &outcomes[0] else {
        panic!()
    };
    assert_eq!((services.len(), running.published()), (200, 200));
}

#[test]
fn a_thousand_bad_clients_harm_nobody() {
    let running = Running::start();
    let bad: [&[u8]; 5] = [
        b"\xff\xfe\x00\n",
        b"{}\n",
        b"{\"version\":1,\"commands\":[{\"flush\":1}]}\n",
        b"[1,2\n",
        b"{\"version\":1,\"comm",
    ];
    let done = [Outcome::Done];
    thread::scope(|scope| {
        for first in 0..40u16 {
            let running = &running;
            scope.spawn(move || {
                for number in 0..25 {
                    let mut stream = UnixStream::connect(&running.path).unwrap();
                    stream.write_all(bad[number % bad.len()]).unwrap();
                    // Those that would be answered do not wait for it, the half frame ends here.
                }
                assert_eq!(running.ask(&[add(first)]).0, [Outcome::Done]);
            });
        }
    });
    assert_eq!(running.ask(&[Command::Flush]).0, done);
    assert_eq!(running.published(), 41);
}
