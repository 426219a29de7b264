//! A laboratory that is told what to do in lines, and what becomes of packets there.

use Went::{Client, Linux, Lost, Server};
use pvs_oracle::frames::{from_client, server_mac};
use pvs_oracle::replay::{Lab, Ledger};
use pvs_oracle::scenario::at;
use pvs_oracle::{Side, frames};
use pvs_proto::MacAddr;

/// A laboratory that is told what to do in lines.
pub struct Table {
    pub lab: Lab,
    now_ms: u64,
}

/// Where a packet went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Went {
    Server(u8),
    Client,
    Linux,
    Lost(&'static str),
}

impl Table {
    pub fn new(lines: &[&str]) -> Self {
        let mut table = Self {
            lab: Lab::new().unwrap(),
            now_ms: 0,
        };
        for line in lines {
            table.run(line);
        }
        table
    }

    pub fn said(&mut self, line: &str) -> (i64, String) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let said = match words[0].starts_with('-') {
            true => self.lab.run(&words).unwrap(),
            false => self.lab.pvsadm(&words).unwrap(),
        };
        (said.rc, said.stdout + &said.stderr)
    }

    pub fn run(&mut self, line: &str) -> String {
        let (rc, text) = self.said(line);
        assert_eq!(rc, 0, "{line}: {text}");
        text
    }

    pub fn sleep(&mut self, ms: u64) {
        self.now_ms += ms;
        self.lab.until(self.now_ms);
    }

    pub fn send(&mut self, packet: &[u8]) -> Went {
        let frame = from_client(packet);
        let sent = self
            .lab
            .send_frame(Side::Client, &frame, &mut Ledger::default());
        let sent = sent.unwrap();
        if let Some(lost) = sent.lost.first() {
            return Lost(lost);
        }
        if !sent.punted.is_empty() {
            return Linux;
        }
        let left = sent.left.first().expect("it went somewhere");
        if left.side == Side::Client {
            return Client;
        }
        let mac = MacAddr(left.frame[..6].try_into().unwrap());
        Server(
            (1..=16)
                .find(|n| server_mac(*n) == mac)
                .expect("a server's"),
        )
    }

    pub fn tcp(&mut self, from: &str, to: &str, signal: u8) -> Went {
        self.send(&frames::tcp(at(from), at(to), signal, b""))
    }

    pub fn udp(&mut self, from: &str, to: &str, payload: &[u8]) -> Went {
        self.send(&frames::udp(at(from), at(to), payload))
    }

    /// The connections: protocol, time left, state, client, virtual address and server, sorted.
    pub fn connections(&mut self) -> Vec<String> {
        let text = self.run("-Lnc");
        let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut all: Vec<String> = text.lines().skip(2).map(line).collect();
        all.sort();
        all
    }

    /// Persistent, active and inactive connections of each server.
    pub fn counts(&mut self) -> Vec<[String; 3]> {
        let text = self.run("-Ln --persistent-conn");
        let servers = text.lines().skip(3).filter(|line| line.contains("->"));
        servers
            .map(|line| {
                let words: Vec<&str> = line.split_whitespace().rev().take(3).collect();
                [2, 1, 0].map(|n| words[n].to_owned())
            })
            .collect()
    }
}

pub const VIP: &str = "10.0.0.100:80";

pub fn two_servers(service: &str) -> Table {
    Table::new(&[
        &format!("-A -t 10.0.0.100:80 -s rr {service}"),
        "-a -t 10.0.0.100:80 -r 192.168.1.1:80 -m",
        "-a -t 10.0.0.100:80 -r 192.168.1.2:80 -m",
    ])
}
