//! The messages and the gRPC service of `proto/uplink.proto`, generated at build time.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]

tonic::include_proto!("sluice.uplink.v1");
