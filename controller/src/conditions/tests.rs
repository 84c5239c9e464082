//! Vectors: what Argo's documentation and tests show, and the corners of the language.

use serde_json::Value as Json;

use super::*;

mod vectors;

fn at() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn ask(condition: &str, result: &Value) -> Result<bool, String> {
    holds(condition, result, at()).map_err(|error| error.to_string())
}

/// Rows of one table: a condition, a result, and the answer or the error.
type Row = (&'static str, Json, Result<bool, &'static str>);

fn run(rows: Vec<Row>) {
    for (condition, result, expected) in rows {
        let found = ask(condition, &Value::from(&result));
        assert_eq!(
            found,
            expected.map_err(str::to_owned),
            "{condition} with {result}"
        );
    }
}

#[test]
fn not_a_number_fails_every_comparison() {
    let nan = Value::list(vec![Value::Float(f64::NAN)]);
    assert_eq!(ask("result[0] >= 0.95", &nan), Ok(false));
    assert_eq!(ask("result[0] < 0.95", &nan), Ok(false));
    assert_eq!(ask("result[0] == result[0]", &nan), Ok(false));
    assert_eq!(
        ask(
            "len(result) == 0 || isNaN(result[0]) || result[0] >= 0.95",
            &nan
        ),
        Ok(true)
    );
    let infinite = Value::Float(f64::NEG_INFINITY);
    assert_eq!(ask("isInf(result)", &infinite), Ok(true));
    assert_eq!(ask("isNaN(result)", &infinite), Ok(false));
}

#[test]
fn conditions_are_bounded() {
    let nil = Value::Nil;
    let long = format!("true || {:?}", "x".repeat(LONGEST));
    assert!(ask(&long, &nil).unwrap_err().contains("is too long"));
    let deep = format!("{}true{}", "(".repeat(DEEPEST), ")".repeat(DEEPEST));
    assert!(ask(&deep, &nil).unwrap_err().contains("too complex"));
    let wide = format!("true{}", " && true".repeat(MOST_OPERATORS + 1));
    assert!(ask(&wide, &nil).unwrap_err().contains("too complex"));
    let most = format!("true{}", " && true".repeat(MOST_OPERATORS));
    assert_eq!(ask(&most, &nil), Ok(true));
    let slow = "all(1..2000, {all(1..2000, {# > 0})})";
    assert!(ask(slow, &nil).unwrap_err().contains("takes too long"));
    assert_eq!(
        ask("len(1..2000000) > 0", &nil),
        Err("memory budget exceeded".to_owned())
    );
    assert!(ask("repeat('x', 100000000) == ''", &nil).is_err());
    let doubling = (0..40).fold(String::from("let a = 'xxxxxxxxxxxxxxxx'; "), |text, _| {
        text + "let a = a + a; "
    });
    assert!(
        ask(&format!("{doubling} a == ''"), &nil)
            .unwrap_err()
            .contains("takes too long")
    );
}

#[test]
fn whatever_is_written_nothing_panics() {
    // Every prefix and every deletion of one character of conditions that use all of the syntax.
    let whole = [
        "let a = [1, 2.5, {b: 'c', \"d\": `e`}]; a[0:2][1] > 1 ? not (a[2]?.b in ['c']) : -2 ** 2 != #",
        "result | filter(.x not in 1..3 and #.y ?? true) | map({# + 1}) | len() >= 0x1F // end",
        "date('2023-08-14', '2006-01-02', 'UTC') - duration('1h') < now() /* é */ || all(result, {asFloat(.value) >= 9_900})",
    ];
    for condition in whole {
        for (at, character) in condition.char_indices() {
            let _ = ask(&condition[..at], &Value::Nil);
            let without = [&condition[..at], &condition[at + character.len_utf8()..]].concat();
            let _ = ask(&without, &Value::list(vec![Value::Nil]));
        }
    }
}

#[test]
fn a_syntax_error_says_where() {
    let error = check("result >\n  = 1").unwrap_err();
    assert_eq!(error.to_string(), "unexpected token Operator(\"=\") (2:3)");
    assert_eq!(error.told(), "unexpected token Operator(\"=\")");
    assert_eq!(check("result[0] >= 0.95"), Ok(()));
}

#[test]
fn a_vector_is_a_list_of_floats_and_known_as_one() {
    let vector = Value::floats([1.0, 2.0]);
    let table = [
        ("result", Err("expected bool, but got []float64")),
        ("result[0:1]", Err("expected bool, but got []float64")),
        (
            "map(result, {#})",
            Err("expected bool, but got []interface {}"),
        ),
        (
            "result > 1",
            Err("invalid operation: > (mismatched types []float64 and int)"),
        ),
        (
            "result[0] == 'x'",
            Err("invalid operation: == (mismatched types float64 and string)"),
        ),
        ("result[0] == 1", Ok(true)),
        ("all(result, {# < 3}) && 2 in result", Ok(true)),
        ("result == [1, 2]", Ok(true)),
    ];
    for (condition, answer) in table {
        let answer = answer.map_err(str::to_owned);
        assert_eq!(ask(condition, &vector), answer, "{condition}");
    }
}

#[test]
fn the_tallest_conditions_fit_the_stack_of_a_worker() {
    let nested = DEEPEST / 2 - 2;
    let tall = format!("1{}", " + 1".repeat(MOST_OPERATORS - nested - 10));
    let open = "all([1], {".repeat(nested);
    let close = "})".repeat(nested);
    let condition = format!("{open}{tall} > 1{close}");
    // Worker threads of tokio have two megabytes.
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
    let answer = thread
        .spawn(move || ask(&condition, &Value::Nil))
        .unwrap()
        .join()
        .unwrap();
    assert_eq!(answer, Ok(true));
}
