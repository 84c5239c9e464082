//! The table: a row per condition.

use serde_json::json;

use super::run;

#[test]
#[expect(clippy::too_many_lines, reason = "a flat table")]
fn argos_documentation_and_tests() {
    run(vec![
        ("result[0] >= 0.95", json!([0.97]), Ok(true)),
        ("result[0] >= 0.95", json!([0.9]), Ok(false)),
        (
            "result[0] >= 0.95",
            json!([]),
            Err("index out of range: 0 (array length is 0)"),
        ),
        (
            "result[0] == nil",
            json!([]),
            Err("index out of range: 0 (array length is 0)"),
        ),
        ("result[0] == nil", json!([null]), Ok(true)),
        (
            "len(result) == 0 || isNaN(result[0]) || result[0] >= 0.95",
            json!([]),
            Ok(true),
        ),
        (
            "len(result) == 0 || isNaN(result[0]) || result[0] >= 0.95",
            json!([0.96]),
            Ok(true),
        ),
        (
            "len(result) == 0 || isNaN(result[0]) || result[0] >= 0.95",
            json!([0.5]),
            Ok(false),
        ),
        ("default(result, 0) < 5", json!(null), Ok(true)),
        ("default(result, 0) < 5", json!(7), Ok(false)),
        ("default(result, 1) < 0.05", json!(null), Ok(false)),
        ("default(nil, 0) < 5", json!(7), Ok(false)),
        ("isNil(result)", json!(null), Ok(true)),
        ("isNil(nil)", json!(1), Ok(false)),
        ("isNil(result) || result < 5", json!(4), Ok(true)),
        (
            "all(result, {asFloat(.value) >= 9900})",
            json!([{"value": "9900"}, {"value": 9901}]),
            Ok(true),
        ),
        (
            "all(result, {asFloat(.value) >= 9900})",
            json!([{"value": "9899.9"}]),
            Ok(false),
        ),
        (
            "all(result, asFloat(.value) >= 9900)",
            json!([{"value": "9900"}]),
            Ok(true),
        ),
        ("all(result, # > 0.95)", json!([0.96, 0.97]), Ok(true)),
        ("all(result, # > 0.95)", json!([0.96, 0.9]), Ok(false)),
        ("any(result, # > 0.95)", json!([0.96, 0.9]), Ok(true)),
        (
            "result.ok == true && result.successPercent >= 0.90",
            json!({"ok": true, "successPercent": 0.95}),
            Ok(true),
        ),
        (
            "result.ok && result.successPercent >= 0.90",
            json!({"ok": true, "successPercent": 0.5}),
            Ok(false),
        ),
        ("result.count < 10", json!({"count": 3}), Ok(true)),
        (
            "result['duration.average'] < 5",
            json!({"duration.average": 4.5}),
            Ok(true),
        ),
        (
            "result[0].Values[0] > 1",
            json!([{"Values": [2]}]),
            Ok(true),
        ),
        (
            "all(result.service_apdex.values.values, {# > 1})",
            json!({"service_apdex": {"label": null, "values": {"values": [2, 2]}}}),
            Ok(true),
        ),
        (
            "asFloat(result.service_apdex.values[0].value) >= 9900",
            json!({"service_apdex": {"values": [{"value": "9950"}]}}),
            Ok(true),
        ),
        (
            "all(filter(result.values, asInt(.id) >= 1), {asFloat(.value) > 0.5})",
            json!({"values": [{"id": "0", "value": "0"}, {"id": "1", "value": "0.6"}]}),
            Ok(true),
        ),
        ("result == true", json!(true), Ok(true)),
        ("result == false", json!(true), Ok(false)),
        ("true", json!(null), Ok(true)),
        ("1", json!(true), Err("expected bool, but got int")),
        ("result", json!(1), Err("expected bool, but got float64")),
        ("result", json!("x"), Err("expected bool, but got string")),
        (
            "result",
            json!([]),
            Err("expected bool, but got []interface {}"),
        ),
        (
            "result",
            json!({}),
            Err("expected bool, but got map[string]interface {}"),
        ),
        ("nil", json!(1), Err("expected bool, but got <nil>")),
        (
            "invalidVariable",
            json!(true),
            Err("unknown name invalidVariable"),
        ),
        ("true || a == true", json!(true), Err("unknown name a")),
        ("2 in result", json!([2, 2]), Ok(true)),
        ("3 in result", json!([2, 2]), Ok(false)),
        ("result > 1", json!(5), Ok(true)),
        (
            "result.Name() == 'hi'",
            json!(true),
            Err("Name is not a function (1:12)"),
        ),
        (
            "asInt(result) == 1.1",
            json!("1.1"),
            Err("strconv.ParseInt: parsing \"1.1\": invalid syntax"),
        ),
        ("asInt(result) == 1", json!("1"), Ok(true)),
        ("asInt(result) == 1", json!(1.123), Ok(true)),
        (
            "asFloat(result) == 1.1",
            json!("NotANum"),
            Err("strconv.ParseFloat: parsing \"NotANum\": invalid syntax"),
        ),
        (
            "asFloat(result) == \"1.1\"",
            json!("1.1"),
            Err("invalid operation: == (mismatched types float64 and string)"),
        ),
        ("asFloat(result) == 1.1", json!("1.1"), Ok(true)),
        ("asFloat(result) <= 1.1", json!("1.1"), Ok(true)),
        ("asFloat(result) >= 1", json!(1), Ok(true)),
        (
            "asFloat(result) == 1",
            json!(true),
            Err("asFloat() not supported on bool true"),
        ),
    ]);
}

#[test]
fn our_own_provider() {
    let result = json!({"errors": 0, "requests": 120, "rate": 0.0, "share": 0.1, "e": 0.4});
    run(vec![
        ("result.e < 100", result.clone(), Ok(true)),
        (
            "result.requests >= 100 && result.rate <= 0.01",
            result.clone(),
            Ok(true),
        ),
        ("result.errors > 3", result.clone(), Ok(false)),
        ("result.share == 0.1", result, Ok(true)),
    ]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a flat table")]
fn operators_and_their_order() {
    run(vec![
        ("1 + 2 * 3 == 7", json!(0), Ok(true)),
        ("(1 + 2) * 3 == 9", json!(0), Ok(true)),
        ("10 - 2 - 3 == 5", json!(0), Ok(true)),
        ("2 ** 3 ** 2 == 512", json!(0), Ok(true)),
        ("2 ^ 3 == 8", json!(0), Ok(true)),
        ("-2 ** 2 == -4", json!(0), Ok(true)),
        ("7 % 3 == 1", json!(0), Ok(true)),
        ("7 % 0 == 1", json!(0), Err("integer divide by zero")),
        (
            "result % 2 == 1",
            json!(7),
            Err("invalid operation: % (mismatched types float64 and int)"),
        ),
        ("7 / 2 == 3.5", json!(0), Ok(true)),
        ("result / 0 > 1e300", json!(1), Ok(true)),
        (
            "0x1F == 31 && 1_000 == 1000 && .5 == 0.5 && 1e3 == 1000",
            json!(0),
            Ok(true),
        ),
        ("1 == 1.0", json!(0), Ok(true)),
        ("'a' + 'b' == \"ab\"", json!(0), Ok(true)),
        ("'a' < 'b'", json!(0), Ok(true)),
        (
            "result.a < 1",
            json!({"a": "x"}),
            Err("invalid operation: string < int"),
        ),
        ("result.a == 1", json!({"a": "x"}), Ok(false)),
        ("result.absent == nil", json!({}), Ok(true)),
        (
            "result.absent > 1",
            json!({}),
            Err("invalid operation: <nil> > int"),
        ),
        (
            "result.a.b == 1",
            json!({}),
            Err("cannot fetch b from <nil>"),
        ),
        ("result?.a?.b == nil", json!(null), Ok(true)),
        ("result?.a.b.c == nil", json!(null), Ok(true)),
        (
            "result?.a.b == nil",
            json!({}),
            Err("cannot fetch b from <nil>"),
        ),
        ("result.a?.[0] == nil", json!({}), Ok(true)),
        ("(result.a ?? 3) == 3", json!({}), Ok(true)),
        ("result.a ?? 3 == 3", json!({}), Ok(true)),
        ("true or false and false", json!(0), Ok(true)),
        ("true || false && false", json!(0), Ok(true)),
        ("not false and !false", json!(0), Ok(true)),
        ("not (1 in [2])", json!(0), Ok(true)),
        ("1 not in [2, 3]", json!(0), Ok(true)),
        ("'abc' not contains 'd'", json!(0), Ok(true)),
        ("false && result[0] > 1", json!([]), Ok(false)),
        ("true || result[0] > 1", json!([]), Ok(true)),
        (
            "result && true",
            json!(1),
            Err("invalid operation: && needs a bool, but got float64"),
        ),
        (
            "!result",
            json!(1),
            Err("invalid operation: ! needs a bool, but got float64"),
        ),
        ("result > 1 ? true : false", json!(2), Ok(true)),
        ("false ? false : true ? true : false", json!(2), Ok(true)),
        ("(result ?: 5) == 5", json!(false), Ok(true)),
        ("3 in 1..3 && 4 not in 1..3", json!(0), Ok(true)),
        ("len(3..1) == 0", json!(0), Ok(true)),
        ("'k' in result", json!({"k": 1}), Ok(true)),
        ("'k' in result", json!(null), Ok(false)),
        (
            "'k' in result",
            json!("k"),
            Err("operator \"in\" not defined on string"),
        ),
        ("result matches '^v[0-9]+$'", json!("v12"), Ok(true)),
        ("result matches '^v[0-9]+$'", json!("x12"), Ok(false)),
        (
            "result matches '('",
            json!("x"),
            Err("error parsing regexp: \"(\" is not a pattern"),
        ),
        ("result contains 'OK'", json!("all OK"), Ok(true)),
        (
            "result startsWith 'all' and result endsWith 'OK'",
            json!("all OK"),
            Ok(true),
        ),
        ("result == nil", json!(1), Ok(false)),
        (
            "result == 'x'",
            json!(1),
            Err("invalid operation: == (mismatched types float64 and string)"),
        ),
        (
            "result != 'x'",
            json!(true),
            Err("invalid operation: != (mismatched types bool and string)"),
        ),
        ("[1, 2] == [1.0, 2.0]", json!(0), Ok(true)),
        (
            "{a: 1, 'b': 2, (\"c\" + \"d\"): 3}.cd == 3",
            json!(0),
            Ok(true),
        ),
        ("'\\u0041\\n\\'' == `A` + \"\\n'\"", json!(0), Ok(true)),
        ("result[-1] == 3", json!([1, 2, 3]), Ok(true)),
        (
            "result[-4] == 3",
            json!([1, 2, 3]),
            Err("index out of range: -1 (array length is 3)"),
        ),
        (
            "result[1:] == [2, 3] && result[:-1] == [1, 2] && result[1:2] == [2]",
            json!([1, 2, 3]),
            Ok(true),
        ),
        ("result[0:9] == [1]", json!([1]), Ok(true)),
        ("'hello'[1:3] == 'el'", json!(0), Ok(true)),
        (
            "let x = result * 2; let y = x + 1; y == 7",
            json!(3),
            Ok(true),
        ),
        (
            "let x = 1; (let x = 2; x == 2) && x == 1",
            json!(3),
            Ok(true),
        ),
        ("1 +", json!(0), Err("unexpected token EOF (1:4)")),
        ("1 2", json!(0), Err("unexpected token 2 (1:3)")),
        (
            "# > 1",
            json!(0),
            Err("unexpected token Operator(\"#\") (1:1)"),
        ),
        ("'open", json!(0), Err("literal not terminated (1:1)")),
        ("1 @ 2", json!(0), Err("unrecognized character: '@' (1:3)")),
        ("true // why", json!(0), Ok(true)),
        ("/* why */ true", json!(0), Ok(true)),
    ]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a flat table")]
fn functions() {
    let users = json!([{"name": "a", "age": 20}, {"name": "b", "age": 40}]);
    run(vec![
        ("len('héé') == 3", json!(0), Ok(true)),
        ("len({a: 1}) == 1", json!(0), Ok(true)),
        (
            "len(result) == 1",
            json!(5),
            Err("invalid argument for len (type float64)"),
        ),
        ("none(result, # > 5)", json!([1, 2]), Ok(true)),
        ("one(result, # > 1)", json!([1, 2]), Ok(true)),
        ("all(result, # > 5)", json!([]), Ok(true)),
        (
            "all(result, 1)",
            json!([1]),
            Err("invalid operation: predicate needs a bool, but got int"),
        ),
        (
            "all(result, # > 1)",
            json!(5),
            Err("invalid argument for all (type float64)"),
        ),
        ("map(result, .age) == [20, 40]", users.clone(), Ok(true)),
        ("map(result, {.age * 2})[1] == 80", users.clone(), Ok(true)),
        (
            "filter(result, .age > 30)[0].name == 'b'",
            users.clone(),
            Ok(true),
        ),
        (
            "find(result, .age > 30).name == 'b' && find(result, .age > 50) == nil",
            users.clone(),
            Ok(true),
        ),
        ("findIndex(result, .age > 30) == 1", users.clone(), Ok(true)),
        (
            "findLast(result, .age > 10).name == 'b'",
            users.clone(),
            Ok(true),
        ),
        ("count(result, .age > 30) == 1", users.clone(), Ok(true)),
        ("count([true, false, true]) == 2", json!(0), Ok(true)),
        (
            "sum(result, .age) == 60 && sum([1, 2.5]) == 3.5",
            users.clone(),
            Ok(true),
        ),
        (
            "reduce(1..4, #acc + #, 0) == 10 && reduce([3, 4], #acc * #) == 12",
            json!(0),
            Ok(true),
        ),
        ("all(result, #index < 2)", users.clone(), Ok(true)),
        (
            "any(result, any([20, 30], {# == 30}) and .age == 20)",
            users.clone(),
            Ok(true),
        ),
        (
            "result | filter(.age > 30) | len() == 1",
            users.clone(),
            Ok(true),
        ),
        (
            "(result | filter(.age > 30) | len()) == 1",
            users.clone(),
            Ok(true),
        ),
        (
            "mean(result) == 2 && median(result) == 2 && min(result) == 1 && max(result, 9) == 9",
            json!([1, 2, 3]),
            Ok(true),
        ),
        ("median([1, 2, 3, 4]) == 2.5", json!(0), Ok(true)),
        (
            "min(result) == 1",
            json!([]),
            Err("not enough arguments to call min"),
        ),
        (
            "max(result) == 1",
            json!(["a"]),
            Err("invalid argument for max (type string)"),
        ),
        (
            "first(result) == 1 && last(result) == 3",
            json!([1, 2, 3]),
            Ok(true),
        ),
        ("first(result) == nil", json!([]), Ok(true)),
        (
            "get(result, 5) == nil && get({a: 1}, 'a') == 1",
            json!([]),
            Ok(true),
        ),
        (
            "keys(result) == ['a', 'b'] && values(result) == [1, 2]",
            json!({"a": 1, "b": 2}),
            Ok(true),
        ),
        (
            "take(result, 2) == [1, 2] && reverse(result) == [3, 2, 1]",
            json!([1, 2, 3]),
            Ok(true),
        ),
        (
            "concat([1], [2]) == [1, 2] && flatten([1, [2, [3]]]) == [1, 2, 3]",
            json!(0),
            Ok(true),
        ),
        (
            "uniq([1, 1, 2]) == [1, 2] && sort([3, 1]) == [1, 3] && sort(['a', 'b'], 'desc') == ['b', 'a']",
            json!(0),
            Ok(true),
        ),
        (
            "abs(-5) == 5 && ceil(1.2) == 2 && floor(1.8) == 1 && round(1.5) == 2",
            json!(0),
            Ok(true),
        ),
        (
            "int('42') == 42 && int(4.9) == 4 && float('1.5') == 1.5 && string(5) == '5'",
            json!(0),
            Ok(true),
        ),
        (
            "type(result) == 'array' && type(1) == 'int' && type(1.5) == 'float' && type(nil) == 'nil'",
            json!([]),
            Ok(true),
        ),
        (
            "split('a,b,c', ',') == ['a', 'b', 'c'] && split('a,b,c', ',', 2)[1] == 'b,c'",
            json!(0),
            Ok(true),
        ),
        (
            "trim('  x ') == 'x' && trim('__x_', '_') == 'x' && trimPrefix('HELLO', 'HE') == 'LLO'",
            json!(0),
            Ok(true),
        ),
        (
            "upper('a') == 'A' && lower('A') == 'a' && join(['a', 'b'], '-') == 'a-b'",
            json!(0),
            Ok(true),
        ),
        (
            "replace('aba', 'a', 'c') == 'cbc' && repeat('ab', 2) == 'abab'",
            json!(0),
            Ok(true),
        ),
        (
            "indexOf('apple pie', 'pie') == 6 && indexOf('a', 'b') == -1 && hasPrefix('abc', 'ab')",
            json!(0),
            Ok(true),
        ),
        ("fromJSON('{\"a\": [1]}').a[0] == 1", json!(0), Ok(true)),
        (
            "fromJSON(toJSON(result)) == result",
            json!({"a": [1, null, "x"]}),
            Ok(true),
        ),
        (
            "duration('1h') > duration('59m') && duration('1h') == duration('60m')",
            json!(0),
            Ok(true),
        ),
        (
            "duration('1x') > duration('1s')",
            json!(0),
            Err("invalid duration \"1x\": unknown unit \"x\"; units are ns, us, ms, s, m and h"),
        ),
        ("now() - duration('1h') < now()", json!(0), Ok(true)),
        (
            "now() - date('2026-11-23') == duration('12h')",
            json!(0),
            Ok(true),
        ),
        (
            "date('2023-08-14 00:00:00', '2006-01-02 15:04:05', 'UTC') - duration('1h') == date('2023-08-13T23:00:00Z')",
            json!(0),
            Ok(true),
        ),
        (
            "date('14. Aug 2023', '02. Jan 2006') < now()",
            json!(0),
            Ok(true),
        ),
        ("date('never') < now()", json!(0), Err("invalid date never")),
        (
            "len() == 1",
            json!(0),
            Err("not enough arguments to call len (1:7)"),
        ),
        (
            "len(1, 2) == 1",
            json!(0),
            Err("too many arguments to call len (1:11)"),
        ),
        ("unheardOf(1)", json!(0), Err("unknown name unheardOf")),
        (
            "isNaN(result)",
            json!("x"),
            Err("cannot use string as argument (type float64) to call isNaN"),
        ),
    ]);
}
