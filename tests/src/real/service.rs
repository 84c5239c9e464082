//! What a Service is to proxies: one address, behind which the controller changes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A forwarder of connections. Dropping it cuts them.
pub struct Service {
    /// Where it listens.
    pub address: SocketAddr,
    target: watch::Sender<SocketAddr>,
    passed: Arc<watch::Sender<usize>>,
    _tasks: JoinSet<()>,
}

// === impl Service ===

impl Service {
    /// Forwards to `target`.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let target = watch::Sender::new(target);
        let passed = Arc::new(watch::Sender::new(0));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, target.subscribe(), Arc::clone(&passed)));
        Self {
            address,
            target,
            passed,
            _tasks: tasks,
        }
    }

    /// From now on it leads there; what is connected elsewhere is cut.
    pub fn lead_to(&self, target: SocketAddr) {
        self.passed.send_replace(0);
        self.target.send_replace(target);
    }

    /// Waits until so many connections were made to the present target.
    pub async fn passed(&self, count: usize) {
        let mut passed = self.passed.subscribe();
        let enough = passed.wait_for(|passed| *passed >= count).await;
        drop(enough.expect("the sender is ours"));
    }
}

async fn accept(
    listener: TcpListener,
    target: watch::Receiver<SocketAddr>,
    passed: Arc<watch::Sender<usize>>,
) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        while connections.try_join_next().is_some() {}
        connections.spawn(forward(stream, target.clone(), Arc::clone(&passed)));
    }
}

async fn forward(
    mut stream: TcpStream,
    mut target: watch::Receiver<SocketAddr>,
    passed: Arc<watch::Sender<usize>>,
) {
    let to = *target.borrow_and_update();
    let Ok(mut there) = TcpStream::connect(to).await else {
        return;
    };
    passed.send_modify(|passed| *passed += 1);
    tokio::select! {
        _ = copy_bidirectional(&mut stream, &mut there) => {}
        _ = target.changed() => {}
    }
}
