use proptest::prelude::*;
use serde_json::json;

use super::*;

fn first(path: &str, document: &Value) -> Result<Option<Value>, String> {
    JsonPath::parse(path)
        .and_then(|path| path.first(document))
        .map_err(|error| error.0)
}

fn store() -> Value {
    json!({
        "data": {"ok": true, "rate": 0.95, "a.b": 1, "none": null},
        "items": [
            {"name": "one", "size": 1, "kind": "x"},
            {"name": "two", "size": 2},
            {"name": "three (3)", "size": 3, "kind": "y"},
        ],
        "list": [10, 20, 30, 40],
        "empty": [],
    })
}

#[test]
fn paths_find_what_kubectl_finds() {
    let whole = store();
    let rows = [
        ("{$}", whole.clone()),
        ("{@}", whole.clone()),
        ("{}", whole.clone()),
        ("{$.data.ok}", json!(true)),
        ("{.data.rate}", json!(0.95)),
        ("{ .data.rate }", json!(0.95)),
        ("{.data['rate']}", json!(0.95)),
        (r"{.data['a\.b']}", json!(1)),
        (r"{.data.a\.b}", json!(1)),
        ("{.list[0]}", json!(10)),
        ("{.list[]}", json!(10)),
        ("{.list[-1]}", json!(40)),
        ("{.list[-2:]}", json!(30)),
        ("{.list[1:3]}", json!(20)),
        ("{.list[*]}", json!(10)),
        ("{.list[3:]}", json!(40)),
        ("{.list[1::2]}", json!(20)),
        ("{.list[2,0]}", json!(30)),
        ("{.data['rate','ok']}", json!(0.95)),
        ("{.items[*].name}", json!("one")),
        ("{.items[?(@.kind)].name}", json!("one")),
        ("{.items[?(@.name==\"two\")].size}", json!(2)),
        ("{.items[?(@.name=='two')].size}", json!(2)),
        ("{.items[?(@.size>1)].name}", json!("two")),
        ("{.items[?(@.size>=2.5)].name}", json!("three (3)")),
        ("{.items[?(@.size!=1)].name}", json!("two")),
        ("{.items[?(@.name == \"three (3)\")].size}", json!(3)),
        ("{..size}", json!(1)),
        ("{.data.none}", Value::Null),
        ("{range .items[*]}{.name}{end}", json!("one")),
        ("{range .empty[*]}{.name}{end}{.data.ok}", json!(true)),
        ("text {.data.ok}", json!("text ")),
        ("{\"quoted \\\"text\\\"\"}", json!("quoted \"text\"")),
        ("{3}", json!(3)),
        ("{-1.5}", json!(-1.5)),
        ("{true}", json!(true)),
        ("{.items[0]['name']}", json!("one")),
    ];
    for (path, expected) in rows {
        assert_eq!(first(path, &whole), Ok(Some(expected)), "{path}");
    }
    assert_eq!(first("{.empty[*]}", &whole), Ok(None));
    assert_eq!(first("{.items[?(@.size>9)]}", &whole), Ok(None));
}

#[test]
fn what_is_wrong_is_said_in_kubernetes_words() {
    let rows = [
        ("{.nope}", "nope is not found"),
        ("{.data.ok.deeper}", "deeper is not found"),
        ("{.list[4]}", "array index out of bounds: index 4, length 4"),
        (
            "{.list[-5]}",
            "array index out of bounds: index -1, length 4",
        ),
        (
            "{.list[3:1]}",
            "starting index 3 is greater than ending index 1",
        ),
        ("{.list[0:4:0]}", "step must be > 0"),
        (
            "{.data[0]}",
            "map[string]interface {} is not array or slice",
        ),
        (
            "{.data[?(@.x)]}",
            "map[string]interface {} is not array or slice and cannot be filtered",
        ),
        ("{.items[?(@.name>1)]}", "incompatible types for comparison"),
        ("{.items[?(@.size=>1)]}", "unrecognized filter operator =>"),
        ("{.items[?(@.nope==1)]}", "nope is not found"),
        ("{.items[?(@.kind==\"y\")].size}", "kind is not found"),
        ("{.data.ok", "unclosed action"),
        ("{.list[0}", "unterminated array"),
        ("{.list[x]}", "invalid array index x"),
        ("{.list[-]}", "array index - is not a number"),
        ("{.items[?(@.a}", "unterminated filter"),
        ("{.items[?(@.a)}", "unclosed array expect ]"),
        ("{'a}", "unterminated quoted string"),
        ("{#}", "unrecognized character in action: U+0023 '#'"),
        ("{....}", "invalid multiple recursive descent"),
        ("{1.2.3}", "cannot parse number 1.2.3"),
        ("{word}", "unrecognized identifier word"),
        ("{end}", "not in range, nothing to end"),
        (
            "{range .items[*]}{.name}",
            "unclosed range: {end} is missing",
        ),
        (
            "$.data",
            "the path \"$.data\" is not in braces: {$.data} is accepted",
        ),
    ];
    for (path, expected) in rows {
        let expected = Err(expected.to_owned());
        assert_eq!(first(path, &store()), expected, "{path}");
    }
    let deep = format!("{{[?(@{}", "[?(@".repeat(40));
    assert!(JsonPath::parse(&deep).is_err());
    assert!(JsonPath::parse(&"{.a}".repeat(2_000)).is_err());
}

#[test]
fn a_path_that_touches_everything_again_and_again_is_stopped() {
    let nested = (0..40).fold(json!(1), |inside, _| json!([inside]));
    let path = format!("{{{}}}", "[*,*]".repeat(40));
    let found = first(&path, &nested).unwrap_err();
    assert!(found.contains("touches too many values"), "{found}");
}

#[test]
fn ranges_may_be_nested() {
    let document = json!({"rows": [{"cells": []}, {"cells": [{"v": 7}]}]});
    let path = "{range .rows[*]}{range .cells[*]}{.v}{end}{end}";
    assert_eq!(first(path, &document), Ok(Some(json!(7))));
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-c]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c]", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Text out of the pieces that paths are made of, in any order.
fn path() -> impl Strategy<Value = String> {
    const PIECES: [&str; 28] = [
        "{", "}", "$", "@", ".", "..", "a", "b", "[", "]", "*", "0", "-1", ":", ",", "'", "\"",
        "\\", "?(", ")", "==", "<", "range ", "end", " ", "true", "é", "\n",
    ];
    let piece = (0..PIECES.len()).prop_map(|at| PIECES[at]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,40}", document in document()) {
        let _ = first(&text, &document);
        let _ = first(&format!("{{{text}}}"), &document);
    }

    #[test]
    fn no_mixture_of_pieces_makes_it_panic(text in path(), document in document()) {
        let _ = first(&text, &document);
        let _ = first(&format!("{{{text}}}"), &document);
    }

    #[test]
    fn the_way_to_any_value_finds_it(document in document()) {
        let mut ways = vec![(String::new(), &document)];
        while let Some((way, value)) = ways.pop() {
            prop_assert_eq!(first(&format!("{{${way}}}"), &document), Ok(Some(value.clone())));
            match value {
                Value::Array(items) => ways.extend(
                    items.iter().enumerate().map(|(at, item)| (format!("{way}[{at}]"), item))),
                Value::Object(fields) => ways.extend(
                    fields.iter().map(|(key, item)| (format!("{way}['{key}']"), item))),
                _ => {}
            }
        }
    }
}
