//! The kubelet.
pub mod supervisor;
