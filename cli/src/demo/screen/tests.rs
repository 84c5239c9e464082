use super::*;

fn view() -> View {
    let step = |weight, progress| Step { weight, progress };
    View {
        elapsed: Duration::from_millis(34_900),
        release: 3,
        title: "release 3: a bad one".to_owned(),
        steps: vec![
            step(10, Progress::Done),
            step(30, Progress::Now),
            step(60, Progress::Ahead),
            step(100, Progress::Ahead),
        ],
        weight: Some(Weight {
            canary: 30,
            verified: Some(true),
        }),
        shares: [0.0, 70.4, 29.6],
        requests: 12_345,
        failures: 0,
        fallbacks: 17,
        state: "Paused: CanaryPauseStep".to_owned(),
        analysis:
            "Failed: Metric \"errors\" assessed Failed due to failed (1) > failureLimit (0): \
                   canary 9 of 31 requests (29.0 %), stable 1 of 290 (0.3 %), e-value 4211 at \
                   alpha 0.01, ratio 1.5"
                .to_owned(),
    }
}

#[test]
fn the_block_is_as_drawn() {
    let drawn = "\
SLUICE DEMO  0:34   release 3: a bad one

  steps     10 % done   [30 %]   60 %   100 %
  weight    30 % to the new version, acknowledged by every proxy
  answers   version 1                                             0 %
            version 2  ████████████████████████████              70 %
            version 3  ████████████                              30 %
  users     12,345 requests   0 failed   17 saved by stable
  state     Paused: CanaryPauseStep
  analysis  Failed: Metric \"errors\" assessed Failed due to failed (1) >
            failureLimit (0): canary 9 of 31 requests (29.0 %), stable 1 of 290
            (0.3 %), e-value 4211 at alpha 0.01, ratio 1.5";
    assert_eq!(view().block(Paint::Plain).join("\n"), drawn);
}

#[test]
fn nothing_is_wider_than_80_columns() {
    let wide = View {
        title: "release 3: ".to_owned() + &"very ".repeat(40),
        state: "x".repeat(200),
        requests: 99_999_999,
        failures: 123_456,
        fallbacks: 999_999,
        shares: [100.0; 3],
        ..view()
    };
    let lines = wide.block(Paint::Plain).into_iter().chain([wide.line()]);
    for line in lines.chain(wide.changes(&View::default())) {
        assert!(line.chars().count() <= WIDTH, "{line}");
    }
    for line in view()
        .block(Paint::Plain)
        .into_iter()
        .chain([view().line()])
    {
        assert!(line.chars().count() <= WIDTH, "{line}");
    }
}

#[test]
fn a_log_has_lines() {
    assert_eq!(
        view().line(),
        " 0:34  release 3  weight  30 %  v2 70 %  v3 30 %       12345 requests, 0 failed"
    );
    let before = View {
        state: "Progressing".to_owned(),
        ..view()
    };
    assert_eq!(view().changes(&before), ["       Paused: CanaryPauseStep"]);
    assert_eq!(view().changes(&view()), [""; 0]);
    assert!(!view().moved(&before));
    assert!(view().moved(&View {
        weight: None,
        ..view()
    }));
}

#[test]
fn colours_mark_the_verdict_and_only_if_wanted() {
    assert!(!view().block(Paint::Plain).concat().contains('\x1b'));
    let painted = view().block(Paint::Colour);
    assert!(
        painted
            .iter()
            .any(|line| line.contains("\x1b[31mFailed: Metric")),
        "{painted:?}"
    );
}

#[test]
fn numbers_are_grouped() {
    let table = [
        (0, "0"),
        (999, "999"),
        (1000, "1,000"),
        (1_234_567, "1,234,567"),
    ];
    for (number, expected) in table {
        assert_eq!(grouped(number), expected);
    }
}
