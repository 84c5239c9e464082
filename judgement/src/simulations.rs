//! The promises, simulated: false alarms stay within α at a look per tick, and faults are found in
//! time. Seeds are fixed, so a failure is always the same failure.

mod latency;
mod power;
mod validity;
mod world;

/// Runs per simulation: at α = 1 % an honest test raises 20 alarms at most.
const RUNS: u64 = 2_000;

/// Ticks, and thus looks, per second: the fuse looks every 50 ms.
const TICKS_PER_SECOND: u32 = 20;
