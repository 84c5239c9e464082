//! The differential test: courses of Argo's controller, and ours beside them.
//!
//! A [`scenario`] is manifests and actions. It is [`play`]ed on a [`stage`] (a namespace of any
//! cluster, with any controller), while a [`recorder`] watches every write. [`fields`] says what of
//! each object counts, [`symbols`] gives names and hashes a meaning that is the same everywhere, and
//! [`course`] is what comes of it: per field, the sequence of its distinct values. Some recordings
//! of Argo's make an [`expected`] course, [`compare`] holds ours against it, and [`differences`]
//! knows those that are deliberate. [`answers`] are what analyses measure.
//!
//! [`pretended`] plays on `local` under virtual time, [`real`] on a real control plane, with Argo's
//! controller (to record) or with ours.

pub mod scenario;

pub mod play;
pub mod stage;

pub mod recorder;

pub mod fields;
pub mod symbols;

pub mod course;

pub mod expected;

pub mod compare;
pub mod differences;

pub mod answers;

pub mod pretended;
pub mod real;

use std::path::{Path, PathBuf};

/// Where scenarios and recordings are.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("courses")
}
