use super::*;

fn app(failure_rate: f64, dir: &std::path::Path) -> App {
    App::new(AppArgs {
        version: 3,
        failure_rate,
        delay_ms: 0,
        address: [127, 0, 0, 1].into(),
        port: 0,
        ledger_dir: dir.to_owned(),
    })
}

#[tokio::test]
async fn the_failure_rate_is_the_share_of_requests_that_fail() {
    let dir = tempfile::tempdir().unwrap();
    for (rate, expected) in [(0.0, 0..=0), (0.3, 540..=660), (1.0, 2000..=2000)] {
        let app = app(rate, dir.path());
        let failing = (0..2000).filter(|_| app.begin()).count();
        assert!(expected.contains(&failing), "{failing} of 2000 at {rate}");
        assert_eq!(app.counted().ledger.requests, 2000);
    }
}

#[tokio::test]
async fn the_file_holds_what_was_counted() {
    let dir = tempfile::tempdir().unwrap();
    let app = app(1.0, dir.path());
    assert!(app.begin());
    app.failed();
    app.write_if_changed().unwrap();
    let ledger = ledger::of_version(dir.path(), 3).unwrap();
    assert_eq!((ledger.requests, ledger.failures), (1, 1));
    assert!(ledger.first_failure >= ledger.last_request);
}

#[test]
fn a_share_outside_0_to_1_is_refused() {
    assert!(share("1.5").unwrap_err().contains("0 to 1 is accepted"));
    assert!(share("x").is_err());
    assert_eq!(share("0.3"), Ok(0.3));
}
