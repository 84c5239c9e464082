//! Whole releases in virtual time, against the local API server, with pods and proxies that pretend.

mod cluster;

mod blue_green;

mod restart;
mod story;
mod trouble;
