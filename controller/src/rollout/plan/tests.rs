//! The plan by tables, and by random worlds.

mod blue_green;
mod decisions;
mod random;
mod statements;
mod workload;
mod world;
