//! Frames between an af_packet device and a raw socket at the other end of a veth pair.
//!
//! Needs root. The network namespace is this thread's alone and goes with it, and the pair with the
//! namespace, however the test ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{eal, frame, receive, send};
use pvs_dpdk::{Device, DeviceConfig, DeviceError, DpdkPort, HugepageUse, Mempool, RssState};
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::FromRawFd;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::{Duration, Instant};

/// An EtherType for experiments (IEEE 802, 88b5), so that nothing of the kernel's is mistaken.
const ETHERTYPE: u16 = 0x88b5;
const FRAMES: usize = 64;

#[test]
fn frames_cross_a_veth_pair_both_ways() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        eprintln!("not run: needs root");
        return;
    }
    own_namespace();
    run("ip link add pvs0 type veth peer name pvs1");
    for name in ["pvs0", "pvs1"] {
        run(&format!("ip link set {name} up"));
    }
    let mut peer = raw_socket("pvs1");
    let eal = eal(&["net_af_packet0,iface=pvs0,qpairs=2"], HugepageUse::Prefer);
    let pool = Mempool::new(&eal, "veth", 4095, 64, 2048, None).unwrap();

    let one_queue = DeviceConfig::default();
    let error = Device::open(&eal, "net_af_packet0", &one_queue, &pool).unwrap_err();
    assert!(
        matches!(
            error,
            DeviceError::Queues {
                asked: 1,
                min: 2,
                max: 2,
                ..
            }
        ),
        "one unread"
    );

    let config = DeviceConfig {
        queues: 2,
        ..one_queue
    };
    let (device, mut ports) = Device::open(&eal, "net_af_packet0", &config, &pool).unwrap();
    assert_eq!(device.rss(), RssState::Off);
    assert!(device.link().unwrap().up);
    assert_ne!(device.mac().unwrap().0, [0; 6]);

    let frames: Vec<_> = (0..FRAMES).map(|n| numbered(n, 60 + n * 20)).collect();
    send(&mut ports[0], &frames[..FRAMES / 2]);
    send(&mut ports[1], &frames[FRAMES / 2..]);
    assert_eq!(from_socket(&mut peer, FRAMES), frames, "out");

    for frame in &frames {
        peer.write_all(frame).unwrap();
    }
    let mut seen = receive(&mut ports, FRAMES, is_ours);
    seen.sort_by_key(Vec::len);
    assert_eq!(seen, frames, "in, on whichever queue");
    // One worker for both queues, which are filled unevenly: by what the kernel hashes.
    let mut alone = DpdkPort::shared(ports, 1);
    assert_eq!(alone.len(), 1);
    for frame in &frames {
        peer.write_all(frame).unwrap();
    }
    let mut seen = receive(&mut alone, FRAMES, is_ours);
    seen.sort_by_key(Vec::len);
    assert_eq!(seen, frames, "in, on both queues in turn");
    send(&mut alone[0], &frames);
    assert_eq!(from_socket(&mut peer, FRAMES), frames, "out, by the first");
    let stats = device.stats().unwrap();
    assert!(stats.tx_frames >= FRAMES as u64 && stats.rx_frames >= FRAMES as u64);
}

fn numbered(n: usize, len: usize) -> Vec<u8> {
    let mut frame = frame(n, len);
    frame[..6].fill(0xff);
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, n as u8]);
    frame[12..14].copy_from_slice(&ETHERTYPE.to_be_bytes());
    frame
}

fn is_ours(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&ETHERTYPE.to_be_bytes())
}

fn from_socket(socket: &mut fs::File, enough: usize) -> Vec<Vec<u8>> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut seen = Vec::new();
    let mut room = [0; 2048];
    while seen.len() < enough && Instant::now() < deadline {
        match socket.read(&mut room) {
            Ok(len) => seen.push(room[..len].to_vec()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
    }
    seen
}

/// Moves this thread into a new network namespace; threads and processes that it starts follow.
fn own_namespace() {
    // SAFETY: no pointers; only this thread's namespace changes.
    let rc = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    assert_eq!(rc, 0, "{}", io::Error::last_os_error());
}

fn run(command: &str) {
    let mut words = command.split(' ');
    let status = Command::new(words.next().unwrap())
        .args(words)
        .status()
        .unwrap();
    assert!(status.success(), "{command}");
}

/// A packet socket bound to one interface and to our EtherType.
fn raw_socket(interface: &str) -> fs::File {
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let protocol = ETHERTYPE.to_be();
    // SAFETY: no pointers.
    let fd = unsafe { libc::socket(libc::AF_PACKET, kind, i32::from(protocol)) };
    assert!(fd >= 0, "{}", io::Error::last_os_error());
    // SAFETY: a fresh descriptor that nobody else owns; a File reads and writes any.
    let socket = unsafe { fs::File::from_raw_fd(fd) };
    let name = std::ffi::CString::new(interface).unwrap();
    // SAFETY: all-zero is a value of this struct of integers.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol;
    // SAFETY: a C string that lives over the call.
    address.sll_ifindex = unsafe { libc::if_nametoindex(name.as_ptr()) } as i32;
    let len = size_of_val(&address) as u32;
    // SAFETY: `address` is readable for `len` bytes.
    let rc = unsafe { libc::bind(fd, (&raw const address).cast(), len) };
    assert_eq!(rc, 0, "{}", io::Error::last_os_error());
    socket
}
