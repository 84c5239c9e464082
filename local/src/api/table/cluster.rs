//! The columns of everything else: the network, the configuration, the cluster itself.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{BuiltIn, age, or_none, own_name};
use crate::api::object::{list, number, text};
use crate::api::scale::selector_text;

pub(super) const SERVICE: &[BuiltIn] = &[
    ("Name", own_name),
    ("Type", |one, _| json!(text(one, "/spec/type"))),
    ("Cluster-IP", |one, _| {
        or_none(text(one, "/spec/clusterIP").to_owned())
    }),
    ("External-IP", |one, _| or_none(external_address(one))),
    ("Port(s)", |one, _| or_none(service_ports(one))),
    ("Age", age::of),
    ("+Selector", |one, _| {
        or_none(selector_text(
            &json!({"matchLabels": one["spec"]["selector"]}),
        ))
    }),
];

pub(super) const NAMESPACE: &[BuiltIn] = &[
    ("Name", own_name),
    ("Status", |one, _| json!(text(one, "/status/phase"))),
    ("Age", age::of),
];

pub(super) const NODE: &[BuiltIn] = &[
    ("Name", own_name),
    ("Status", |node, _| json!(node_status(node))),
    ("Roles", |node, _| or_none(node_roles(node))),
    ("Age", age::of),
    ("Version", |node, _| {
        json!(text(node, "/status/nodeInfo/kubeletVersion"))
    }),
    ("+Internal-IP", |node, _| {
        or_none(node_address(node, "InternalIP"))
    }),
    ("+External-IP", |node, _| {
        or_none(node_address(node, "ExternalIP"))
    }),
    ("+OS-Image", |node, _| {
        or_unknown(text(node, "/status/nodeInfo/osImage"))
    }),
    ("+Kernel-Version", |node, _| {
        or_unknown(text(node, "/status/nodeInfo/kernelVersion"))
    }),
    ("+Container-Runtime", |node, _| {
        or_unknown(text(node, "/status/nodeInfo/containerRuntimeVersion"))
    }),
];

pub(super) const EVENT: &[BuiltIn] = &[
    ("Last Seen", last_seen),
    ("Type", |event, _| json!(text(event, "/type"))),
    ("Reason", |event, _| json!(text(event, "/reason"))),
    ("Object", |event, _| json!(event_object(event))),
    ("+Subobject", |event, _| {
        json!(text(event, "/involvedObject/fieldPath"))
    }),
    ("+Source", |event, _| json!(event_source(event))),
    ("Message", |event, _| json!(text(event, "/message").trim())),
    ("+First Seen", first_seen),
    ("+Count", |event, _| {
        json!(number(event, "/count").unwrap_or(1).to_string())
    }),
    ("+Name", own_name),
];

pub(super) const CONFIG_MAP: &[BuiltIn] = &[
    ("Name", own_name),
    ("Data", |one, _| {
        json!((size(&one["data"]) + size(&one["binaryData"])).to_string())
    }),
    ("Age", age::of),
];

pub(super) const SECRET: &[BuiltIn] = &[
    ("Name", own_name),
    ("Type", |one, _| json!(text(one, "/type"))),
    ("Data", |one, _| json!(size(&one["data"]).to_string())),
    ("Age", age::of),
];

pub(super) const SERVICE_ACCOUNT: &[BuiltIn] = &[
    ("Name", own_name),
    ("Secrets", |one, _| {
        json!(list(one, "/secrets").len().to_string())
    }),
    ("Age", age::of),
];

pub(super) const ENDPOINTS: &[BuiltIn] = &[
    ("Name", own_name),
    ("Endpoints", |one, _| or_none(addresses(one))),
    ("Age", age::of),
];

pub(super) const ENDPOINT_SLICE: &[BuiltIn] = &[
    ("Name", own_name),
    ("AddressType", |one, _| json!(text(one, "/addressType"))),
    ("Ports", |slice, _| {
        let ports = list(slice, "/ports").iter();
        or_unset(ports.map(|port| port["port"].to_string()).collect())
    }),
    ("Endpoints", |slice, _| {
        let endpoints = list(slice, "/endpoints").iter();
        let texts = endpoints.flat_map(|one| list(one, "/addresses"));
        or_unset(texts.filter_map(Value::as_str).map(str::to_owned).collect())
    }),
    ("Age", age::of),
];

pub(super) const LEASE: &[BuiltIn] = &[
    ("Name", own_name),
    ("Holder", |one, _| json!(text(one, "/spec/holderIdentity"))),
    ("Age", age::of),
];

pub(super) const CRD: &[BuiltIn] = &[
    ("Name", own_name),
    ("@Created At", |one, _| {
        json!(text(one, "/metadata/creationTimestamp"))
    }),
];

/// Entries of a list that are shown before the rest is only counted.
const SHOWN: usize = 3;

fn some(texts: &[String]) -> String {
    let more = texts.len().saturating_sub(SHOWN);
    let shown = texts[..texts.len() - more].join(",");
    if more == 0 {
        shown
    } else {
        format!("{shown} + {more} more...")
    }
}

fn or_unset(texts: Vec<String>) -> Value {
    json!(if texts.is_empty() {
        "<unset>".to_owned()
    } else {
        some(&texts)
    })
}

fn or_unknown(text: &str) -> Value {
    json!(if text.is_empty() { "<unknown>" } else { text })
}

fn size(map: &Value) -> usize {
    map.as_object().map_or(0, serde_json::Map::len)
}

fn external_address(service: &Value) -> String {
    match text(service, "/spec/type") {
        "ExternalName" => text(service, "/spec/externalName").to_owned(),
        "LoadBalancer" if list(service, "/spec/externalIPs").is_empty() => "<pending>".to_owned(),
        _ => {
            let listed = list(service, "/spec/externalIPs").iter();
            listed
                .filter_map(Value::as_str)
                .collect::<Vec<_>>()
                .join(",")
        }
    }
}

fn service_ports(service: &Value) -> String {
    let ports = list(service, "/spec/ports").iter().map(|port| {
        let (number_, protocol) = (&port["port"], text(port, "/protocol"));
        match number(port, "/nodePort").filter(|port| *port > 0) {
            Some(node_port) => format!("{number_}:{node_port}/{protocol}"),
            None => format!("{number_}/{protocol}"),
        }
    });
    ports.collect::<Vec<_>>().join(",")
}

fn node_status(node: &Value) -> String {
    let ready = list(node, "/status/conditions")
        .iter()
        .find(|one| text(one, "/type") == "Ready");
    let word = match ready.map(|one| text(one, "/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    let closed = node["spec"]["unschedulable"] == json!(true);
    if closed {
        format!("{word},SchedulingDisabled")
    } else {
        word.to_owned()
    }
}

fn node_roles(node: &Value) -> String {
    let labels = node["metadata"]["labels"].as_object().into_iter().flatten();
    let roles = labels.filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/"));
    roles.collect::<Vec<_>>().join(",")
}

fn node_address(node: &Value, kind: &str) -> String {
    let found = list(node, "/status/addresses")
        .iter()
        .find(|one| text(one, "/type") == kind);
    found.map_or(String::new(), |one| text(one, "/address").to_owned())
}

fn event_object(event: &Value) -> String {
    let kind = text(event, "/involvedObject/kind").to_lowercase();
    format!("{kind}/{}", text(event, "/involvedObject/name"))
}

fn event_source(event: &Value) -> String {
    let (component, host) = match text(event, "/source/component") {
        "" => (
            text(event, "/reportingComponent"),
            text(event, "/reportingInstance"),
        ),
        component => (component, text(event, "/source/host")),
    };
    if host.is_empty() {
        component.to_owned()
    } else {
        format!("{component}, {host}")
    }
}

fn first_time<'a>(event: &'a Value, pointers: &[&str]) -> &'a str {
    pointers
        .iter()
        .map(|one| text(event, one))
        .find(|text| !text.is_empty())
        .unwrap_or_default()
}

fn last_seen(event: &Value, now: Timestamp) -> Value {
    let pointers = [
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/eventTime",
        "/metadata/creationTimestamp",
    ];
    age::since(first_time(event, &pointers), now)
}

fn first_seen(event: &Value, now: Timestamp) -> Value {
    age::since(
        first_time(
            event,
            &[
                "/firstTimestamp",
                "/eventTime",
                "/metadata/creationTimestamp",
            ],
        ),
        now,
    )
}

fn addresses(endpoints: &Value) -> String {
    let mut texts = Vec::new();
    for subset in list(endpoints, "/subsets") {
        for address in list(subset, "/addresses") {
            for port in list(subset, "/ports") {
                texts.push(format!("{}:{}", text(address, "/ip"), port["port"]));
            }
        }
    }
    some(&texts)
}
