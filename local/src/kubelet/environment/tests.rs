use serde_json::{Value, json};

use super::*;

fn pod() -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u",
            "labels": {"app": "a"}, "annotations": {"x.io/note": "hi"}},
        "spec": {"nodeName": "local", "containers": []}
    }))
    .unwrap()
}

fn sources() -> Sources {
    Sources {
        config_maps: BTreeMap::from([(
            "c".to_owned(),
            BTreeMap::from([
                ("k".to_owned(), "v".to_owned()),
                ("l".to_owned(), "w".to_owned()),
            ]),
        )]),
        secrets: BTreeMap::from([(
            "s".to_owned(),
            BTreeMap::from([
                ("t".to_owned(), b"x".to_vec()),
                ("bin".to_owned(), vec![0xff]),
            ]),
        )]),
    }
}

fn env(container: Value) -> Result<BTreeMap<String, String>, String> {
    let mut whole = json!({"name": "c"});
    whole
        .as_object_mut()
        .unwrap()
        .extend(container.as_object().unwrap().clone());
    let container = serde_json::from_value(whole).unwrap();
    let place = Place {
        pod_ip: "127.42.0.1".into(),
        host_ip: "127.0.0.1".into(),
    };
    resolve(&pod(), &container, &sources(), &place).map_err(|error| error.to_string())
}

fn one(from: Value) -> Result<Option<String>, String> {
    env(json!({"env": [{"name": "X", "valueFrom": from}]})).map(|env| env.get("X").cloned())
}

#[test]
fn every_source_of_a_value_is_resolved() {
    let field = |path: &str| json!({"fieldRef": {"fieldPath": path}});
    let table = [
        (field("metadata.name"), Some("p")),
        (field("metadata.namespace"), Some("n")),
        (field("metadata.uid"), Some("u")),
        (field("metadata.labels['app']"), Some("a")),
        (field("metadata.labels['none']"), Some("")),
        (field("metadata.annotations['x.io/note']"), Some("hi")),
        (field("spec.nodeName"), Some("local")),
        (field("status.podIP"), Some("127.42.0.1")),
        (field("status.hostIP"), Some("127.0.0.1")),
        (
            json!({"configMapKeyRef": {"name": "c", "key": "k"}}),
            Some("v"),
        ),
        (
            json!({"configMapKeyRef": {"name": "no", "key": "k", "optional": true}}),
            None,
        ),
        (
            json!({"secretKeyRef": {"name": "s", "key": "t"}}),
            Some("x"),
        ),
        (
            json!({"secretKeyRef": {"name": "s", "key": "no", "optional": true}}),
            None,
        ),
    ];
    for (from, expected) in table {
        assert_eq!(one(from.clone()), Ok(expected.map(str::to_owned)), "{from}");
    }
}

#[test]
fn what_cannot_be_resolved_is_named() {
    let table = [
        (
            json!({"configMapKeyRef": {"name": "no", "key": "k"}}),
            "ConfigMap \"no\" not found",
        ),
        (
            json!({"secretKeyRef": {"name": "s", "key": "no"}}),
            "key \"no\" in Secret \"s\"",
        ),
        (
            json!({"secretKeyRef": {"name": "s", "key": "bin"}}),
            "\"bin\" is not text",
        ),
        (
            json!({"fieldRef": {"fieldPath": "spec.x"}}),
            "fieldPath \"spec.x\" is not supported",
        ),
        (
            json!({"resourceFieldRef": {"resource": "cpu"}}),
            "resourceFieldRef is not supported",
        ),
    ];
    for (from, part) in table {
        let error = one(from.clone()).unwrap_err();
        assert!(error.contains(part), "{from}: {error}");
    }
}

#[test]
fn later_variables_win_and_refer_to_earlier_ones() {
    let env = env(json!({
        "envFrom": [{"configMapRef": {"name": "c"}}, {"secretRef": {"name": "s2", "optional": true}},
            {"configMapRef": {"name": "c"}, "prefix": "P_"}],
        "env": [{"name": "k", "value": "mine"}, {"name": "A", "value": "$(k)-$(l)-$(B)-$$(l)"},
            {"name": "B", "value": "$(POD_IP)"}],
    }))
    .unwrap();
    let expected = [
        ("A", "mine-w-$(B)-$(l)"),
        ("B", "127.42.0.1"),
        ("POD_IP", "127.42.0.1"),
        ("P_k", "v"),
        ("P_l", "w"),
        ("k", "mine"),
        ("l", "w"),
    ];
    let expected: BTreeMap<String, String> = expected
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect();
    assert_eq!(env, expected);
}

#[test]
fn only_path_home_and_lang_are_inherited_and_the_manifest_wins() {
    let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    };
    let caller = map(&[("PATH", "/bin"), ("HOME", "/h"), ("AWS_SECRET", "x")]);
    let all = with_inherited(map(&[("HOME", "/mine")]), &caller);
    assert_eq!(all, map(&[("PATH", "/bin"), ("HOME", "/mine")]));
}
