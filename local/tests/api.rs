//! The contract of the API server, told through a `kube::Client` alone: the same tests run against
//! a real cluster with `SLUICE_CONTRACT=cluster` and a `KUBECONFIG`, so that the two cannot drift
//! apart. What only this server has (faults, a data directory, its port, virtual time) is in `api::own`,
//! `api::door` and `api::time`: those ask the in-process server in any case, and `time` is left out
//! then.

#[cfg(test)]
mod api {
    pub(crate) mod support;

    mod applies;
    mod controllers;
    mod customs;
    mod deletion;
    mod door;
    mod errors;
    mod kubectl;
    mod objects;
    mod own;
    mod patches;
    mod selection;
    mod tables;
    mod time;
    mod tokens;
    mod traces;
    mod watches;
}
