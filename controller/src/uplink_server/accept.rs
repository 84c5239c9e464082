//! Connections: in clear on loopback, over TLS elsewhere.

use std::future::ready;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::TcpListenerStream;

/// Handshakes under way at once; further connections wait in the listener's queue.
const MAX_HANDSHAKES: usize = 256;

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);

pub(super) fn plain(listener: TcpListener) -> impl Stream<Item = io::Result<TcpStream>> {
    TcpListenerStream::new(listener).map(|accepted| {
        // Weights are small and must not wait for Nagle's algorithm.
        accepted.inspect(|stream| drop(stream.set_nodelay(true)))
    })
}

/// Connections that have shaken hands. One that has not, or that takes too long, is left out.
pub(super) fn over_tls(
    listener: TcpListener,
    config: Arc<ServerConfig>,
) -> impl Stream<Item = io::Result<TlsStream<TcpStream>>> {
    let acceptor = TlsAcceptor::from(config);
    plain(listener)
        .map(move |accepted| handshake(acceptor.clone(), accepted))
        .buffer_unordered(MAX_HANDSHAKES)
        .filter_map(|shaken| {
            if let Err(error) = &shaken {
                tracing::debug!(%error, "a connection of the uplink did not begin");
            }
            ready(shaken.ok().map(Ok))
        })
}

async fn handshake(
    acceptor: TlsAcceptor,
    accepted: io::Result<TcpStream>,
) -> io::Result<TlsStream<TcpStream>> {
    let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(accepted?)).await;
    shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
