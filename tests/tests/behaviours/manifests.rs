//! The manifests that are given to people: what stands in them is what the programs take.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::Parser as _;
use controller::args::Args;
use proxy::args::{Source, Typed};
use serde_json::{Value, json};

fn repository(file: &str) -> String {
    let path = format!("{}/../{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn strings(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.map(|text| text.as_str().expect("a string").to_owned())
        .collect()
}

#[test]
fn the_proxys_deployment_gives_it_a_token_an_authority_and_arguments_that_it_takes() {
    let text = repository("deploy/kustomize/proxy/deployment.yaml");
    let deployment = crds::read::documents(&text).expect("YAML").remove(0);
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let arguments = strings(&container["args"]);
    let words = arguments
        .iter()
        .map(|word| word.replace("$(POD_NAMESPACE)", "shop"));
    let typed = Typed::try_parse_from(std::iter::once("sluice-proxy".to_owned()).chain(words));
    let settings = typed.expect("arguments").serve.settings().expect("sense");
    let Source::Controller(membership) = settings.source else {
        panic!("a controller is its source");
    };
    assert_eq!(membership.fleet, "shop/my-app");
    let credentials = membership.credentials.expect("TLS");
    let mount = container["volumeMounts"][0]["mountPath"]
        .as_str()
        .expect("a path");
    let sources = &pod["volumes"][0]["projected"]["sources"];
    let token = &sources[0]["serviceAccountToken"];
    let at = |name: &Value| Some(format!("{mount}/{}", name.as_str().expect("a name")).into());
    assert_eq!(credentials.token, at(&token["path"]));
    assert_eq!(
        Some(credentials.ca),
        at(&sources[1]["configMap"]["items"][0]["path"])
    );
    // What the controller expects unless it is told otherwise.
    let controller = controller::args::Args::try_parse_from(["sluice-controller"]);
    let controller = controller.expect("defaults");
    assert_eq!(token["audience"], controller.uplink_audience);
    assert_eq!(
        sources[1]["configMap"]["name"],
        controller.uplink_ca_config_map
    );
    let service = format!("{}.sluice.svc", controller.uplink_service);
    assert_eq!(credentials.name, service);
}

#[test]
fn the_page_about_the_uplink_shows_what_the_deployment_has() {
    let deployment = repository("deploy/kustomize/proxy/deployment.yaml");
    let lines = |text: &str| {
        text.lines()
            .map(str::trim)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let there = lines(&deployment);
    let page = repository("docs/uplink.md");
    let snippet = page.split("```yaml\n").nth(1).expect("a snippet");
    let snippet = snippet.split("```").next().expect("its end");
    for line in lines(snippet) {
        assert!(there.contains(&line), "{line}");
    }
}

#[test]
fn the_controllers_deployments_give_it_arguments_ports_and_names_that_it_has() {
    let text = repository("deploy/kustomize/controller/deployment.yaml");
    let deployment = crds::read::documents(&text).expect("YAML").remove(0);
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let words = std::iter::once("sluice-controller".to_owned()).chain(strings(&container["args"]));
    let args = Args::read(words.map(OsString::from)).expect("arguments");
    assert_eq!(args.check(), Ok(()));
    assert!(args.serves_tls());
    let options = args.options("sluice", "one".to_owned());
    let ports = container["ports"].as_array().expect("a list");
    let port = |name: &str| {
        let port = ports.iter().find(|port| port["name"] == name);
        port.and_then(|port| port["containerPort"].as_u64())
    };
    assert_eq!(port("uplink"), Some(options.uplink_listen.port().into()));
    assert_eq!(port("metrics"), Some(args.metrics_port.into()));
    assert_eq!(port("healthz"), Some(args.healthz_port.into()));
    for (probe, paths) in [("readinessProbe", "/readyz"), ("livenessProbe", "/healthz")] {
        let get = &container[probe]["httpGet"];
        assert_eq!(
            (&get["path"], &get["port"]),
            (&json!(paths), &json!("healthz"))
        );
    }
    // And the names that its Role in its own namespace allows are those that it asks for.
    let text = repository("deploy/kustomize/controller/own-role.yaml");
    let role = crds::read::documents(&text).expect("YAML").remove(0);
    let rules = role["rules"].as_array().expect("a list");
    let names: Vec<&Value> = rules.iter().map(|rule| &rule["resourceNames"]).collect();
    assert!(
        names.contains(&&json!([options.election.name])),
        "{names:?}"
    );
    assert!(names.contains(&&json!([args.uplink_secret])), "{names:?}");
}

#[test]
fn the_role_for_one_namespace_allows_what_the_one_for_a_cluster_does_but_for_what_is_the_clusters()
{
    let rights = |file: &str| -> BTreeSet<(String, String, String)> {
        let text = repository(&format!("deploy/kustomize/{file}"));
        let role = crds::read::documents(&text).expect("YAML").remove(0);
        let rules = role["rules"].as_array().expect("a list").clone();
        let mut rights = BTreeSet::new();
        for rule in &rules {
            for group in strings(&rule["apiGroups"]) {
                for resource in strings(&rule["resources"]) {
                    let verbs = strings(&rule["verbs"]).into_iter();
                    rights.extend(verbs.map(|verb| (group.clone(), resource.clone(), verb)));
                }
            }
        }
        rights
    };
    let (whole, one) = (
        rights("cluster/clusterrole.yaml"),
        rights("namespaced/role.yaml"),
    );
    let only = |more: &BTreeSet<_>, less: &BTreeSet<(String, String, String)>| {
        let only = more
            .difference(less)
            .map(|(_, resource, _): &(_, String, _)| resource.clone());
        only.collect::<BTreeSet<_>>()
    };
    assert_eq!(only(&one, &whole), BTreeSet::new());
    let of_the_cluster = [
        "clusteranalysistemplates",
        "configmaps",
        "referencegrants",
        "tokenreviews",
    ];
    assert_eq!(only(&whole, &one), of_the_cluster.map(str::to_owned).into());
}
