//! Bodies as Go clients send them, put together field by field.

use serde_json::{Value, json};

use super::{MAGIC, read};

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn number(field: u64, value: i64) -> Vec<u8> {
    [varint(field << 3), varint(value.cast_unsigned())].concat()
}

fn nested(field: u64, parts: &[Vec<u8>]) -> Vec<u8> {
    let content = parts.concat();
    [
        varint(field << 3 | 2),
        varint(content.len() as u64),
        content,
    ]
    .concat()
}

fn text(field: u64, text: &str) -> Vec<u8> {
    nested(field, &[text.as_bytes().to_vec()])
}

fn envelope(version: &str, kind: &str, parts: &[Vec<u8>]) -> Vec<u8> {
    [
        MAGIC.to_vec(),
        nested(1, &[text(1, version), text(2, kind)]),
        nested(2, parts),
    ]
    .concat()
}

fn rows() -> Vec<(Vec<u8>, Value)> {
    let zero_time = nested(8, &[number(1, 0), number(2, 0)]);
    let time = nested(8, &[number(1, 1_767_323_045), number(2, 0)]);
    let labels = nested(11, &[text(1, "app"), text(2, "web")]);
    let metadata = nested(
        1,
        &[text(1, "a"), text(3, ""), number(7, 0), zero_time, labels],
    );
    let shown = json!({"name": "a", "labels": {"app": "web"}});
    let volume = nested(1, &[text(1, "v"), nested(2, &[nested(2, &[])])]);
    let limits = nested(1, &[text(1, "cpu"), nested(2, &[text(1, "100m")])]);
    vec![
        (
            envelope(
                "v1",
                "ConfigMap",
                &[metadata, nested(2, &[text(1, "k"), text(2, "v")])],
            ),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": shown, "data": {"k": "v"}}),
        ),
        (
            envelope(
                "v1",
                "Secret",
                &[nested(1, &[time]), nested(2, &[text(1, "k"), text(2, "v")])],
            ),
            json!({"apiVersion": "v1", "kind": "Secret", "data": {"k": "dg=="},
                   "metadata": {"creationTimestamp": "2026-01-02T03:04:05Z"}}),
        ),
        (
            // A field that stands in its parent, a pointer to an empty message, and a quantity.
            envelope(
                "v1",
                "Pod",
                &[nested(
                    2,
                    &[volume, nested(2, &[nested(8, &[limits])]), number(4, -1)],
                )],
            ),
            json!({"apiVersion": "v1", "kind": "Pod", "spec": {
                "volumes": [{"name": "v", "emptyDir": {}}],
                "containers": [{"resources": {"limits": {"cpu": "100m"}}}],
                "terminationGracePeriodSeconds": -1}}),
        ),
    ]
}

/// A port's target is a number or a text; Go sends a zero number where there is neither.
fn service_rows() -> Vec<(Vec<u8>, Value)> {
    let port = |target: &[Vec<u8>]| nested(1, &[number(3, 80), nested(4, target)]);
    let service = |target: &[Vec<u8>]| envelope("v1", "Service", &[nested(2, &[port(target)])]);
    let shown_service =
        |port: Value| json!({"apiVersion": "v1", "kind": "Service", "spec": {"ports": [port]}});
    vec![
        (
            service(&[number(1, 1), number(2, 0), text(3, "http")]),
            shown_service(json!({"port": 80, "targetPort": "http"})),
        ),
        (
            service(&[number(1, 0), number(2, 8080), text(3, "")]),
            shown_service(json!({"port": 80, "targetPort": 8080})),
        ),
        (
            service(&[number(1, 0), number(2, 0), text(3, "")]),
            shown_service(json!({"port": 80})),
        ),
        (
            envelope(
                "apps/v1",
                "DeleteOptions",
                &[number(1, 0), text(4, "Foreground")],
            ),
            json!({"apiVersion": "apps/v1", "kind": "DeleteOptions",
                   "gracePeriodSeconds": 0, "propagationPolicy": "Foreground"}),
        ),
    ]
}

#[test]
fn messages_become_the_json_that_go_would_write() {
    for (bytes, wanted) in rows().into_iter().chain(service_rows()) {
        assert_eq!(read(&bytes).unwrap(), wanted);
    }
}

#[test]
fn no_cut_and_no_flipped_byte_is_more_than_a_refusal() {
    for (bytes, _) in rows().into_iter().chain(service_rows()) {
        for end in 0..bytes.len() {
            let _ = read(&bytes[..end]);
            let mut flipped = bytes.clone();
            flipped[end] ^= 0xff;
            let _ = read(&flipped);
        }
        assert!(read(&bytes[1..]).is_err());
        assert!(read(&bytes[..bytes.len() - 1]).is_err());
    }
}

#[test]
fn kinds_outside_the_table_are_named() {
    let error = read(&envelope("example.com/v1", "Widget", &[])).unwrap_err();
    assert!(
        error.contains("example.com/Widget") && error.contains("application/json"),
        "{error}"
    );
}
