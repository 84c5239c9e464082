//! The uplink's own certificate authority: what proxies know the controller by.
//!
//! A Secret in the controller's namespace holds an authority, the one that will follow it, and the
//! serving certificate ([`material`]). [`due`] says, purely, what of it is to be renewed; [`mint`]
//! makes keys and certificates; [`keep`] looks at the Secret from time to time, changes it under
//! optimistic concurrency, so that several replicas agree, and hands the serving certificate to
//! the uplink. [`publish`] keeps the authorities, without any key, as a ConfigMap in the namespace
//! of each fleet.
//!
//! An authority is published for [`due::CA_LEAD`] before anything is signed by it, and trusted until
//! it expires: at every moment a proxy that has the bundle of a day ago can still connect. Streams
//! that are open are not touched by any of it.

mod due;
mod keep;
mod material;
mod mint;
mod publish;
mod served;

use std::collections::BTreeSet;

pub use due::{CA_LEAD, CA_RENEW_BEFORE, CA_VALIDITY, CLOCK_SKEW};
pub use due::{SERVING_RENEW_BEFORE, SERVING_VALIDITY};
pub use keep::keep;
pub use material::{Data, Material, MaterialError};
pub use mint::MintError;
pub use publish::publish;
pub use served::Served;

/// The label by which our ConfigMaps are known; one that somebody else made is left alone.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "sluice-controller");

/// The key of the ConfigMap under which the authorities stand, as in `kube-root-ca.crt`.
pub const CA_KEY: &str = "ca.crt";

/// Where everything is kept, and what the serving certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The Secret's namespace: the controller's own.
    pub namespace: String,
    /// The Secret's name.
    pub secret: String,
    /// The name of the ConfigMap in the namespace of each fleet.
    pub config_map: String,
    /// The DNS names and IP addresses of the serving certificate.
    pub names: BTreeSet<String>,
}

#[cfg(test)]
mod tests;
