//! From what was typed to what it means: a [`CheckedConfig`], or every error at once with its path.
//!
//! Nothing after this touches the raw document. Both sides run it: the controller before it sends,
//! the proxy before it swaps.

mod checked;

pub use checked::{
    Backend, CertificateSource, CheckedCertificate, CheckedCluster, CheckedConfig, CheckedFuse,
    CheckedHeaderRoute, CheckedOverride, CheckedRoute, CheckedSplit, CheckedSticky,
    HeaderCondition, Hostname, OutlierPolicy, OverrideRule, PathCondition, RouteCondition, Salt,
    ValueCondition,
};
