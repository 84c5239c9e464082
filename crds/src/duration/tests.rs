use super::*;

#[test]
fn durations_are_those_of_go() {
    let table = [
        // From Go's own time_test.go.
        ("0", 0),
        ("5s", 5 * SECOND),
        ("30s", 30 * SECOND),
        ("1478s", 1478 * SECOND),
        ("-5s", -5 * SECOND),
        ("+5s", 5 * SECOND),
        ("-0", 0),
        ("+0", 0),
        ("5.0s", 5 * SECOND),
        ("5.6s", 5_600_000_000),
        ("5.s", 5 * SECOND),
        (".5s", SECOND / 2),
        ("1.0s", SECOND),
        ("1.00s", SECOND),
        ("1.004s", 1_004_000_000),
        ("1.0040s", 1_004_000_000),
        ("100.00100s", 100_001_000_000),
        ("10ns", 10),
        ("11us", 11_000),
        ("12µs", 12_000),
        ("12μs", 12_000),
        ("13ms", 13_000_000),
        ("14s", 14 * SECOND),
        ("15m", 900 * SECOND),
        ("16h", 57_600 * SECOND),
        ("3h30m", 12_600 * SECOND),
        ("10.5s4m", 250_500_000_000),
        ("-2m3.4s", -123_400_000_000),
        ("1h2m3s4ms5us6ns", 3_723_004_005_006),
        ("39h9m14.425s", 140_954_425_000_000),
        ("52763797000ns", 52_763_797_000),
        ("0.3333333333333333333h", 1_200_000_000_000),
        ("9007199254740993ns", 9_007_199_254_740_993),
        ("9223372036854775807ns", i64::MAX),
        ("9223372036854775.807us", i64::MAX),
        ("-9223372036854775808ns", i64::MIN),
        ("-9223372036854775.808us", i64::MIN),
        ("-2562047h47m16.854775808s", i64::MIN),
        ("0.100000000000000000000h", 360 * SECOND),
        ("0.830103483285477580700h", 2_988_372_539_827),
        // From manifests.
        ("10m", 600 * SECOND),
        ("1h30m", 5400 * SECOND),
        ("1.5s", 1_500_000_000),
        ("-1s", -SECOND),
    ];
    for (text, nanoseconds) in table {
        let parsed = GoDuration::parse(text).map(GoDuration::nanoseconds);
        assert_eq!(parsed, Ok(nanoseconds), "{text}");
    }
}

#[test]
fn errors_say_what_was_meant() {
    let table = [
        (
            "10m.",
            r#"invalid duration "10m.": unexpected "." after "10m"; did you mean "10m"?"#,
        ),
        (
            "300x",
            r#"invalid duration "300x": unknown unit "x"; units are ns, us, ms, s, m and h"#,
        ),
        (
            "300",
            r#"invalid duration "300": missing unit after "300"; did you mean "300s"?"#,
        ),
        (
            "1h30",
            r#"invalid duration "1h30": missing unit after "1h30"; did you mean "1h30s"?"#,
        ),
        (
            "10min",
            r#"invalid duration "10min": unknown unit "min"; did you mean "10m"?; units are ns, us, ms, s, m and h"#,
        ),
        (
            "2d",
            r#"invalid duration "2d": unknown unit "d"; did you mean "48h"?; units are ns, us, ms, s, m and h"#,
        ),
        ("m", r#"invalid duration "m": unexpected "m""#),
        ("-", r#"invalid duration "-": unexpected "" after "-""#),
        (
            "1h 30m",
            r#"invalid duration "1h 30m": unknown unit "h "; did you mean "1h30m"?; units are ns, us, ms, s, m and h"#,
        ),
        (
            "",
            r#"invalid duration "": write a number with a unit, as in "30s", "10m" or "1h30m""#,
        ),
        (
            "9223372036854775808ns",
            r#"invalid duration "9223372036854775808ns": longer than 2562047h47m16.854775807s"#,
        ),
    ];
    for (text, message) in table {
        assert_eq!(GoDuration::parse(text).unwrap_err().to_string(), message);
    }
}

#[test]
fn errors_can_be_told_in_gos_words() {
    let table = [
        ("1x", r#"time: unknown unit "x" in duration "1x""#),
        (
            "60s-typo",
            r#"time: unknown unit "s-typo" in duration "60s-typo""#,
        ),
        ("300", r#"time: missing unit in duration "300""#),
        ("", r#"time: invalid duration """#),
        ("10m.", r#"time: invalid duration "10m.""#),
        ("\"\\é", r#"time: invalid duration "\"\\\xc3\xa9""#),
        (
            "9223372036854775808ns",
            r#"time: invalid duration "9223372036854775808ns""#,
        ),
    ];
    for (text, message) in table {
        assert_eq!(GoDuration::parse(text).unwrap_err().in_go(), message);
    }
}

#[test]
fn what_go_refuses_is_refused() {
    let table = [
        "3",
        "-",
        "s",
        ".",
        "-.",
        ".s",
        "+.s",
        "1d",
        "\u{85}\u{85}",
        "\u{ffff}",
        "hello",
        "9223372036854775810ns",
        "9223372036854775808ns",
        "-9223372036854775809ns",
        "9223372036854776us",
        "3000000h",
        "9223372036854775.808us",
        "9223372036854ms775us808ns",
        " 1s",
        "1s ",
        "--1s",
        "1..5s",
        "1s-1s",
    ];
    for text in table {
        assert!(GoDuration::parse(text).is_err(), "{text}");
    }
}

#[test]
fn durations_print_as_go_prints_them() {
    let table = [
        (0, "0s"),
        (1, "1ns"),
        (1_100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (3_300_000_000, "3.3s"),
        (245 * SECOND, "4m5s"),
        (245_001_000_000, "4m5.001s"),
        (18_367_001_000_000, "5h6m7.001s"),
        (480_000_000_001, "8m0.000000001s"),
        (5400 * SECOND, "1h30m0s"),
        (-SECOND, "-1s"),
        (i64::MAX, "2562047h47m16.854775807s"),
        (i64::MIN, "-2562047h47m16.854775808s"),
    ];
    for (nanoseconds, text) in table {
        assert_eq!(GoDuration::from_nanoseconds(nanoseconds).to_string(), text);
    }
}

#[test]
fn pauses_are_seconds_or_durations() {
    let text = |text: &str| IntOrString::String(text.to_owned());
    let table = [
        (IntOrString::Int(300), 300),
        (IntOrString::Int(0), 0),
        (IntOrString::Int(-3), -3),
        (text("300"), 300),
        (text("-1"), -1),
        (text("10m"), 600),
        (text("1h30m"), 5400),
        (text("1.9s"), 1),
        (text("-1.9s"), -1),
        (text("500ms"), 0),
    ];
    for (value, seconds) in table {
        assert_eq!(pause_seconds(&value), Ok(seconds), "{value:?}");
    }
    for wrong in ["10m.", "", "soon", "1000000h", "2147483648"] {
        assert!(pause_seconds(&text(wrong)).is_err(), "{wrong}");
    }
}
