//! The manifests that are given to people: what stands in them is what the programs take.

use clap::Parser as _;
use proxy::args::{Source, Typed};
use serde_json::Value;

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
