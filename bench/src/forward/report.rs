//! What a reader needs: the figures of each loop, the differences, and how they came about.

use super::Mode;
use super::several::By;
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

/// Least and median of some windows, in nanoseconds of processor time for a packet.
#[derive(Clone, Copy)]
struct Figures {
    min: f64,
    median: f64,
}

impl Figures {
    fn new(mut nanos: Vec<f64>) -> Self {
        nanos.sort_by(f64::total_cmp);
        let at = |place: usize| nanos.get(place).copied().unwrap_or(f64::NAN);
        Self {
            min: at(0),
            median: at(nanos.len() / 2),
        }
    }

    fn json(self) -> Value {
        json!({"min": self.min, "median": self.median})
    }
}

/// What a loop takes, alone and together, of each worker.
pub struct Share {
    quiet_windows: usize,
    workers: Vec<[Figures; 2]>,
}

impl Share {
    /// Out of the windows of each worker, alone and together.
    pub fn new(quiet_windows: usize, workers: impl Iterator<Item = [Vec<f64>; 2]>) -> Self {
        Self {
            quiet_windows,
            workers: workers.map(|both| both.map(Figures::new)).collect(),
        }
    }

    /// What all do together, as a multiple of what one does alone.
    fn ratio(&self, of: fn(Figures) -> f64) -> f64 {
        let ratios = self
            .workers
            .iter()
            .map(|[alone, together]| of(*alone) / of(*together));
        ratios.sum()
    }

    fn json(&self) -> Value {
        let worker = |[alone, together]: &[Figures; 2]| json!({"alone_ns": alone.json(), "together_ns": together.json()});
        json!({
            "quiet_windows": self.quiet_windows,
            "ratio": {"of_medians": self.ratio(|f| f.median), "of_minima": self.ratio(|f| f.min)},
            "workers": self.workers.iter().map(worker).collect::<Vec<_>>(),
        })
    }

    fn rows(&self, name: &str, cores: &[usize]) {
        for (number, ([alone, together], core)) in self.workers.iter().zip(cores).enumerate() {
            println!(
                "{name:<14}{number:>3}{core:>6}{:>10.1}{:>8.1}{:>10.1}{:>8.1}",
                alone.min, alone.median, together.min, together.median
            );
        }
    }
}

/// A finished run with several workers.
pub struct Scaling {
    pub mode: Mode,
    pub steering: By,
    pub flows: u32,
    pub verified: bool,
    pub huge_pages: bool,
    pub packets_per_window: u64,
    pub windows: u32,
    pub cores: Vec<usize>,
    pub mac_swap: Share,
    pub engine: Share,
}

impl Scaling {
    /// Prints it.
    pub fn print(&self, as_json: bool) -> Result<()> {
        let workers = self.cores.len();
        if as_json {
            let report = json!({
                "mode": format!("{:?}", self.mode),
                "workers": workers,
                "steering": format!("{:?}", self.steering),
                "flows_per_worker": self.flows,
                "verified": self.verified,
                "huge_pages": self.huge_pages,
                "windows": self.windows,
                "packets_per_window": self.packets_per_window,
                "cores": self.cores,
                "mac_swap": self.mac_swap.json(),
                "engine": self.engine.json(),
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
            "{:?}, {workers} workers by {:?}, {} flows each, {pages}, {} windows of {} packets",
            self.mode, self.steering, self.flows, self.windows, self.packets_per_window
        );
        println!("ns of a worker's processor time for a packet");
        println!(
            "{:<14}{:>3}{:>6}{:>18}{:>18}",
            "loop", "#", "core", "alone min median", "together min median"
        );
        self.mac_swap.rows("MAC swap", &self.cores);
        self.engine.rows("poll function", &self.cores);
        for (name, share) in [
            ("MAC swap", &self.mac_swap),
            ("poll function", &self.engine),
        ] {
            println!(
                "{name}: together {:.2} times one worker by medians, {:.2} by minima ({} windows in which all ran)",
                share.ratio(|f| f.median),
                share.ratio(|f| f.min),
                share.quiet_windows
            );
        }
        Ok(())
    }
}
