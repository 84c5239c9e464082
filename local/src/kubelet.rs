//! The kubelet.
pub mod address;
pub mod environment;
pub mod expand;
pub mod images;
pub mod logs;
mod refuse;
pub mod runtime;
pub mod supervisor;
