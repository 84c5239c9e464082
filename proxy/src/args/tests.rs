use clap::CommandFactory;

use super::*;

fn settings(line: &str) -> Result<Settings, String> {
    let typed =
        Typed::try_parse_from(std::iter::once("sluice-proxy").chain(line.split_whitespace()))
            .map_err(|error| error.to_string())?;
    typed.serve.settings().map_err(|error| error.to_string())
}

#[test]
fn the_command_line_is_well_formed() {
    Typed::command().debug_assert();
}

#[test]
fn a_file_or_a_controller_is_the_source() {
    let file = settings("--config routing.yaml --workers 2").expect("a file");
    assert_eq!(file.source, Source::File("routing.yaml".into()));
    assert_eq!(file.workers, 2);
    let line = "--controller http://127.0.0.1:9190 --fleet shop/my-app --proxy-name p1";
    let Ok(Settings {
        source: Source::Controller(membership),
        ..
    }) = settings(line)
    else {
        panic!("a controller");
    };
    assert_eq!(
        (&*membership.fleet, &*membership.proxy),
        ("shop/my-app", "p1")
    );
}

#[test]
fn tls_comes_with_what_both_ends_are_known_by() {
    let line = "--controller https://sluice.svc:9190 --fleet shop/my-app \
                --controller-ca ca.crt --controller-token token";
    let Ok(Settings {
        source: Source::Controller(membership),
        ..
    }) = settings(line)
    else {
        panic!("a controller");
    };
    let credentials = Credentials {
        ca: "ca.crt".into(),
        name: "sluice.svc".to_owned(),
        token: Some("token".into()),
    };
    assert_eq!(membership.credentials, Some(credentials));
}

#[test]
fn wrong_usage_is_refused_with_what_would_be_accepted() {
    let rows = [
        ("", "<--config <FILE>|--controller <URL>>"),
        (
            "--config a --controller http://127.0.0.1:1 --fleet a/b",
            "cannot be used with",
        ),
        ("--controller http://127.0.0.1:1", "--fleet"),
        (
            "--controller http://10.0.0.1:1 --fleet a/b",
            "only loopback addresses",
        ),
        (
            "--controller http://127.0.0.1:1 --fleet ab",
            "namespace/name",
        ),
        (
            "--controller https://10.0.0.1:1 --fleet a/b",
            "needs --controller-ca FILE",
        ),
        (
            "--controller http://127.0.0.1:1 --fleet a/b --controller-token t",
            "--controller-token is for https:// alone",
        ),
        ("--config a --controller-ca t", "--controller <URL>"),
        ("--config a --admin 0.0.0.0:9091", "127.0.0.0/8"),
        ("--config a --workers 0", "1 to 1024"),
        ("--config a --config-poll 1ms", "at least 10ms"),
        ("--config a --drain-delay 10m.", "10m."),
    ];
    for (line, expected) in rows {
        let error = settings(line).expect_err(line);
        assert!(error.contains(expected), "{line}: {error}");
    }
}

#[test]
fn subcommands_need_no_source() {
    for line in [
        &["drain", "--admin", "127.0.0.1:1"][..],
        &["check", "routing.yaml"],
    ] {
        let words = std::iter::once("sluice-proxy").chain(line.iter().copied());
        assert!(
            Typed::try_parse_from(words)
                .expect("usage")
                .command
                .is_some()
        );
    }
}

#[test]
fn the_help_names_every_listener() {
    let help = Typed::command().render_long_help().to_string();
    for word in [
        "/metrics",
        "/config",
        "--listen-tls",
        "SLUICE_STATE_DIR",
        "preStop",
    ] {
        assert!(help.contains(word), "{word}");
    }
}
