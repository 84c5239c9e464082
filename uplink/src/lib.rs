//! The contract between proxy and controller. No I/O of its own, no Kubernetes.
//!
//! The story: a [`document::RoutingConfig`] says which requests go where. It is a configuration
//! file, a Snapshot on the wire and what the admin API shows, one and the same. [`schema`] is its
//! JSON Schema, by which it is also read. [`check`] turns it into a [`check::CheckedConfig`] or
//! into every error at once, with the path of each; [`duration`] reads the durations in it.
//! [`sticky`] is the arithmetic that keeps a user on one side. [`proto`] carries the document from
//! the controller to proxies and carries their reports back. [`weight`] and [`version`] are the
//! two orders that decide which of two messages wins; [`endpoint`] says over which addresses
//! plaintext may travel, and [`limits`] how much and how often.

pub mod check;
pub mod document;
pub mod duration;
pub mod endpoint;
pub mod limits;
pub mod proto;
pub mod schema;
pub mod sticky;
pub mod version;
pub mod weight;
