//! `sluice-proxy drain`: what a preStop hook runs.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use super::tell;
use crate::args::DrainArgs;
use crate::clock::Clock;

/// One exchange with the admin listener of this machine.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How often the end is looked for.
const POLL: Duration = Duration::from_millis(100);

/// The answer is a line; more is not the proxy's.
const MAX_ANSWER: u64 = 4096;

/// Asks, and waits until the proxy no longer listens.
pub(super) fn drain(args: &DrainArgs) -> ExitCode {
    match post(args.admin, "/drain") {
        Ok(202) => {}
        Ok(status) => {
            tell(&format!(
                "sluice-proxy: {} answered {status} to POST /drain",
                args.admin
            ));
            return ExitCode::FAILURE;
        }
        Err(problem) => {
            tell(&format!(
                "sluice-proxy: no proxy answers on {}: {problem}",
                args.admin
            ));
            return ExitCode::FAILURE;
        }
    }
    let deadline = Clock.now() + args.wait;
    while TcpStream::connect_timeout(&args.admin, TIMEOUT).is_ok() {
        if Clock.now() >= deadline {
            tell(&format!(
                "sluice-proxy: still draining after {:?}",
                args.wait
            ));
            return ExitCode::FAILURE;
        }
        std::thread::sleep(POLL);
    }
    ExitCode::SUCCESS
}

/// The status of the answer.
fn post(admin: SocketAddr, path: &str) -> io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&admin, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {admin}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    let status = answer
        .split_whitespace()
        .nth(1)
        .and_then(|word| word.parse().ok());
    status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it speaks no HTTP"))
}
