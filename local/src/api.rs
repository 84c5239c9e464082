//! The API server: an in-memory Kubernetes API with two doors, a [`kube::Client`] in this process
//! and a loopback port for everything else.
//!
//! The life of a request, in the order of the modules: a `door` lets it in, `request` takes it
//! apart, `route` finds its verb. Reading verbs are `list` and `watch`; writing ones
//! `create`, `update`, `patch` and `delete`. Every write passes `admit` (defaults,
//! pruning by `schema`, validation) before it changes the `store`, which numbers it, remembers
//! it for watchers and keeps it in the `journal`. What lost its owner is taken by `collect`,
//! which finds it in `belongings`. Who manages which field is kept by `manage`, as server-side apply
//! needs it. Whose a token is, `tokens` says.
//! Bodies come as JSON, YAML or `protobuf`. An `answer` shows objects as JSON or as a `table`; a
//! `refuse` is every error.
//!
//! What the server does not do it refuses with 501 and a sentence; it never pretends. There is no
//! authentication: the port is for loopback, and the process behind it belongs to the same person.

mod server;

mod door;
mod kubeconfig;
mod request;
mod route;

mod discovery;
mod kinds;
mod openapi;

mod list;
mod select;
mod watch;

mod create;
mod delete;
mod manage;
mod patch;
mod scale;
mod update;

mod admit;
mod crd;
mod names;
mod schema;

mod belongings;
mod collect;
mod journal;
mod store;

mod answer;
mod events;
mod jsonpath;
mod messages;
mod object;
mod protobuf;
mod refuse;
mod table;

mod faults;
mod logs;
mod tokens;

pub use faults::Faults;
pub use journal::JournalError;
pub use kubeconfig::kubeconfig;
pub use logs::{LogOptions, LogSource, LogStream};
pub use server::{ApiServer, Config, StartError, Verdict, Write};
