use sluice_local::api::*;
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let dir = std::env::args().nth(1).map(Into::into);
    let server = ApiServer::new(Config { clock: sluice_local::clock::Clock::system(), data_dir: dir, seed: 1, history: 1000 }).unwrap();
    let l = tokio::net::TcpListener::bind("127.0.0.1:18080").await.unwrap();
    std::fs::write("/tmp/localapi.kubeconfig", kubeconfig("http://127.0.0.1:18080")).unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let h = server.serve(l, stop.clone());
    tokio::signal::ctrl_c().await.unwrap();
    stop.cancel(); h.await.unwrap();
}
