//! The plan by tables, and by random worlds.

mod analysis;
mod blue_green;
mod decisions;
mod ping_pong;
mod pods;
mod random;
mod statements;
mod unrouted;
mod workload;
mod world;
