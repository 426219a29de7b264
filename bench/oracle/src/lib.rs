//! A whole director in one process: engine, memory ports, and a clock that only the test moves.
//!
//! The laboratory is that of the recordings (see `data/README.md`): a clients' side and a servers'
//! side, virtual addresses that are local, neighbours that are permanent. Frames enter and leave
//! through the ports; nothing calls the table, a scheduler or a state function directly.

pub mod director;
pub mod frames;
pub mod laboratory;
#[cfg(feature = "replay")]
pub mod replay;
pub mod scenario;
pub mod world;

pub use director::{Director, Side};
pub use laboratory::{laboratory, laboratory_with};
