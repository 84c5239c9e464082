//! The command line: what it does without serving, and its exit codes.

use std::process::ExitCode;

use sluice_proxy::run::main_from;

use crate::app::{App, Manner};
use crate::files::{Files, document, with_certificate};

/// An exit code can only be compared by how it is shown.
fn run(words: &[&str]) -> String {
    let words = std::iter::once("sluice-proxy").chain(words.iter().copied());
    format!("{:?}", main_from(words))
}

fn code(code: u8) -> String {
    format!("{:?}", ExitCode::from(code))
}

#[tokio::test(flavor = "multi_thread")]
async fn check_rehearses_a_file_and_its_certificates() {
    let app = App::start("app", Manner::Well).await;
    let files = Files::new();
    let (chain, key) = files.certificate("good");
    let (_, other_key) = files.certificate("other");
    let plain = document(&app, &app, 10);
    let mut wrong = plain.clone();
    wrong.routes[0].backend.split = None;
    let rows = [
        (plain.clone(), 0),
        (with_certificate(plain.clone(), &chain, &key), 0),
        (with_certificate(plain, &chain, &other_key), 1),
        (wrong, 1),
    ];
    for (document, expected) in rows {
        let path = files.write_document(&document);
        let path = path.to_str().expect("a path of text");
        assert_eq!(run(&["check", path]), code(expected), "{document:?}");
    }
    assert_eq!(run(&["check", "/nonexistent/routing.yaml"]), code(1));
}

#[test]
fn wrong_usage_is_2_and_a_taken_port_is_1() {
    assert_eq!(run(&["--config", "a", "--admin", "0.0.0.0:1"]), code(2));
    assert_eq!(run(&["--config", "a", "--log-level", "=="]), code(2));
    assert_eq!(run(&["--nonsense"]), code(2));
    assert_eq!(run(&["--version"]), code(0));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("bound").to_string();
    assert_eq!(
        run(&[
            "--config",
            "a",
            "--listen",
            "127.0.0.1:0",
            "--status",
            &taken
        ]),
        code(1)
    );
    assert_eq!(run(&["drain", "--admin", "127.0.0.1:1"]), code(1));
}
