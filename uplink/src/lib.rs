//! The contract between proxy and controller. No I/O of its own, no Kubernetes.
//!
//! The story: a [`document::RoutingConfig`] says which requests go where. It is a configuration
//! file, a Snapshot on the wire and what the admin API shows, one and the same. [`check`] turns it
//! into a [`check::CheckedConfig`] or into every error at once, with the path of each. [`proto`]
//! carries it from the controller to proxies and carries their reports back. [`weight`] and
//! [`version`] are the two orders that decide which of two messages wins; [`endpoint`] says over
//! which addresses plaintext may travel. [`schema`] is the document's JSON Schema.

pub mod check;
pub mod document;
pub mod endpoint;
pub mod proto;
pub mod schema;
pub mod version;
pub mod weight;
