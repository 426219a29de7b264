//! What a reader needs: the figures of each loop, the differences, and how they came about.

use super::Mode;
use anyhow::Result;
use serde_json::{Value, json};

/// The windows of one loop.
pub struct Measured {
    min: f64,
    median: f64,
    max: f64,
    cycles_per_nano: f64,
}

impl Measured {
    /// Out of cycles per packet of each window.
    pub fn new(mut cycles: Vec<f64>, cycles_per_nano: f64) -> Self {
        cycles.sort_by(f64::total_cmp);
        let at = |place: usize| cycles.get(place).copied().unwrap_or_default();
        Self {
            min: at(0),
            median: at(cycles.len() / 2),
            max: at(cycles.len().saturating_sub(1)),
            cycles_per_nano,
        }
    }

    fn nanos(&self, cycles: f64) -> f64 {
        cycles / self.cycles_per_nano
    }

    fn json(&self) -> Value {
        json!({
            "ns": {"min": self.nanos(self.min), "median": self.nanos(self.median), "max": self.nanos(self.max)},
            "cycles": {"min": self.min, "median": self.median, "max": self.max},
        })
    }

    fn row(&self, name: &str) -> String {
        format!(
            "{name:<18}{:>8.1}{:>8.1}{:>8.1}   {:>8.1}{:>8.1}{:>8.1}",
            self.nanos(self.min),
            self.nanos(self.median),
            self.nanos(self.max),
            self.min,
            self.median,
            self.max
        )
    }
}

/// A finished run.
pub struct Report {
    pub mode: Mode,
    pub flows: u32,
    pub verified: bool,
    pub huge_pages: bool,
    pub packets_per_window: u64,
    pub windows: u32,
    pub mac_swap: Measured,
    pub floor: Measured,
    pub engine: Measured,
}

impl Report {
    /// Prints it.
    pub fn print(&self, as_json: bool) -> Result<()> {
        let added = |to: &Measured| self.engine.nanos(self.engine.median - to.median);
        if as_json {
            let report = json!({
                "mode": format!("{:?}", self.mode),
                "flows": self.flows,
                "verified": self.verified,
                "huge_pages": self.huge_pages,
                "windows": self.windows,
                "packets_per_window": self.packets_per_window,
                "mac_swap": self.mac_swap.json(),
                "floor": self.floor.json(),
                "engine": self.engine.json(),
                "added_ns": {"over_mac_swap": added(&self.mac_swap), "over_floor": added(&self.floor)},
            });
            println!("{}", serde_json::to_string_pretty(&report)?);
            return Ok(());
        }
        let pages = if self.huge_pages {
            "huge pages"
        } else {
            "ordinary pages"
        };
        println!(
            "{:?}, {} flows, {pages}, {} windows of {} packets",
            self.mode, self.flows, self.windows, self.packets_per_window
        );
        println!(
            "{:<18}{:>24}   {:>24}",
            "per packet", "ns  min  median     max", "cycles  min median   max"
        );
        println!("{}", self.mac_swap.row("MAC swap"));
        println!("{}", self.floor.row("floor"));
        println!("{}", self.engine.row("poll function"));
        println!(
            "added over the MAC swap {:.1} ns, over the floor {:.1} ns (medians)",
            added(&self.mac_swap),
            added(&self.floor)
        );
        Ok(())
    }
}
