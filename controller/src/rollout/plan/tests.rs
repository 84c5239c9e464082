//! The plan by tables, and by random worlds.

mod decisions;
mod random;
mod statements;
mod world;
