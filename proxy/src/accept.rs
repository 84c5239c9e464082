//! Accepting connections: a listener per worker on the same port.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel keeps for a listener that is busy.
const BACKLOG: i32 = 4096;

/// What clients of a port speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// HTTP/1.1, or HTTP/2 by prior knowledge.
    Plain,
    /// TLS, then HTTP/1.1 or HTTP/2 by ALPN.
    Tls,
}

/// One worker's listener on a port.
#[derive(Debug)]
pub struct Listener {
    /// What clients speak.
    pub kind: ListenerKind,
    /// The socket, bound and listening.
    pub socket: TcpListener,
}

/// Binds a listener per worker on one address. With port 0 the system chooses a port, the same for
/// all: read it from the first socket's `local_addr`.
pub fn bind(address: SocketAddr, kind: ListenerKind, workers: usize) -> io::Result<Vec<Listener>> {
    let mut listeners = Vec::with_capacity(workers);
    let mut address = address;
    for _ in 0..workers {
        let socket = bind_one(address)?;
        address = socket.local_addr()?;
        listeners.push(Listener { kind, socket });
    }
    Ok(listeners)
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
