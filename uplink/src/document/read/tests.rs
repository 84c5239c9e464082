use super::*;

const FULL: &str = include_str!("../../../examples/full.yaml");

fn errors(text: &str) -> Vec<String> {
    match read_yaml_or_json(text) {
        Ok(document) => panic!("{text:?} was read: {document:?}"),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn yaml_and_json_are_the_same_document() {
    let document = read_yaml_or_json(FULL).expect("the example is good");
    let json = to_json(&document);
    assert_eq!(read_yaml_or_json(&json), Ok(document.clone()));
    assert_eq!(to_json(&read_yaml_or_json(&json).expect("canonical")), json);
    assert_eq!(digest(&document).len(), "sha256:".len() + 64);
    let mut other = document.clone();
    other.routes.pop();
    assert_ne!(digest(&document), digest(&other));
}

#[test]
fn every_unknown_key_and_wrong_type_is_told_at_once() {
    let text = "
rotues: []
routes:
  - name: 5
    hostname: [a]
    matches: {}
    backend: {cluster: web}
  - backend: {cluster: web}
splits:
  default/my-app:
    stable: web
    weight: \"10\"
    maxWeight: -1
    epoch: 1.5
    fuse: {enabled: on, minErrors: 4294967296}
    fallback: {to: canary}
clusters:
  web: {protocol: http2, endpoints: null, xyzzy: 1}
";
    assert_eq!(
        errors(text),
        [
            "unknown key `rotues`, did you mean `routes`?",
            "routes[0].name: the number 5: expected a string; put it in quotes",
            "routes[0]: unknown key `hostname`, did you mean `hostnames`?",
            "routes[0].matches: a mapping: expected a list",
            "routes[1]: missing key `name`",
            "splits[\"default/my-app\"].weight: the string \"10\": expected a whole number; take the quotes away",
            "splits[\"default/my-app\"].maxWeight: -1 is not a whole number from 0 to 4294967295",
            "splits[\"default/my-app\"].epoch: 1.5 is not a whole number from 0 to 18446744073709551615",
            "splits[\"default/my-app\"].fuse.enabled: the string \"on\": expected a boolean; booleans are `true` and `false` (YAML 1.2)",
            "splits[\"default/my-app\"].fuse.minErrors: 4294967296 is not a whole number from 0 to 4294967295",
            "splits[\"default/my-app\"].fallback.to: the string \"canary\": expected one of stable",
            "clusters[\"web\"].protocol: the string \"http2\": expected one of http1, h2c",
            "clusters[\"web\"].endpoints: nothing is given: expected a list",
            "clusters[\"web\"]: unknown key `xyzzy`: expected one of `revision`, `protocol`, `endpoints`, `connectTimeout`, `outlierEjection`",
        ]
    );
}

#[test]
fn what_is_no_document_is_refused_with_its_reason() {
    for (text, expected) in [
        ("", "the document is empty"),
        ("# nothing\n", "the document is empty"),
        ("[]", "a list: expected a mapping"),
        ("routes: []\nroutes: []\n", "invalid YAML: "),
        (
            "{\"routes\": [], \"routes\": []}",
            "duplicate key \"routes\"",
        ),
        (
            "{\"clusters\": {\"a\": {}, \"a\": {}}}",
            "duplicate key \"a\"",
        ),
        ("{\"routes\": [", "invalid JSON: "),
        ("routes: [", "invalid YAML: "),
        ("routes: []\n---\nroutes: []\n", "invalid YAML: "),
    ] {
        let errors = errors(text);
        assert_eq!(errors.len(), 1, "{text:?}: {errors:?}");
        assert!(errors[0].starts_with(expected), "{text:?}: {}", errors[0]);
    }
}

#[test]
fn older_booleans_are_strings_where_strings_are_wanted() {
    for word in ["on", "yes", "no", "off", "y", "012", "1_0"] {
        let text = format!("{{clusters: {{web: {{revision: {word}}}}}}}");
        let document = read_yaml_or_json(&text).expect(word);
        assert_eq!(document.clusters["web"].revision.as_deref(), Some(word));
    }
}

#[test]
fn a_document_is_bounded() {
    let large = format!("# {}\nroutes: []", "x".repeat(MAX_DOCUMENT_BYTES));
    assert!(errors(&large)[0].contains("expected at most 16777216"));
    let deep = "[".repeat(100_000);
    assert!(errors(&deep)[0].starts_with("invalid YAML"));
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n\
                c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n\
                e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
    assert!(errors(bomb)[0].starts_with("invalid YAML"));
}
