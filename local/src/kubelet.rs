//! The kubelet.
pub mod address;
pub mod expand;
pub mod images;
mod refuse;
pub mod supervisor;
