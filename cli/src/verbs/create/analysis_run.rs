//! `create analysisrun`: a run of its own, from a template and arguments.

use clap::Args;
use crds::{AnalysisRun, AnalysisTemplate, ClusterAnalysisTemplate};
use kube::api::PostParams;
use kube::{Api, ResourceExt as _};
use serde_json::{Map, Value, json};

use super::template_of;
use crate::verbs::cluster::{Cluster, ClusterArgs};
use crate::verbs::console::Console;
use crate::verbs::failure::Failure;

/// The label by which one of several controllers knows its objects.
const INSTANCE_ID: &str = "argo-rollouts.argoproj.io/controller-instance-id";

/// From which template, with what.
#[derive(Args, Clone, Debug)]
#[group(id = "source", required = true, multiple = false, args = ["from", "from_file"])]
pub struct AnalysisRunArgs {
    /// The template in the cluster
    #[arg(long, value_name = "TEMPLATE")]
    pub from: Option<String>,
    /// The template in a file; `-` is the standard input
    #[arg(long, value_name = "FILE")]
    pub from_file: Option<String>,
    /// It is a ClusterAnalysisTemplate
    #[arg(long)]
    pub global: bool,
    /// A value of an argument
    #[arg(short = 'a', long = "argument", value_name = "NAME=VALUE", value_parser = argument)]
    pub arguments: Vec<(String, String)>,
    /// The name of the run
    #[arg(long, conflicts_with = "generate_name")]
    pub name: Option<String>,
    /// The beginning of its name; by default that of the template
    #[arg(long, value_name = "PREFIX")]
    pub generate_name: Option<String>,
    /// Which controller is to act on it, where there are several
    #[arg(long)]
    pub instance_id: Option<String>,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// Creates it.
pub(super) async fn run(
    args: &AnalysisRunArgs,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let template = template(args, cluster).await?;
    let run = made(args, &template)?;
    let run: AnalysisRun =
        serde_json::from_value(run).map_err(|error| Failure::Strange(error.to_string()))?;
    let created = cluster
        .api::<AnalysisRun>()
        .create(&PostParams::default(), &run)
        .await;
    match created {
        Ok(created) => {
            let name = created.name_any();
            console.print(&format!("analysisrun.{}/{name} created\n", crds::GROUP))
        }
        Err(error) => Err(cluster.explain(error, "").await),
    }
}

async fn template(args: &AnalysisRunArgs, cluster: &Cluster) -> Result<Value, Failure> {
    let kind = if args.global {
        "ClusterAnalysisTemplate"
    } else {
        "AnalysisTemplate"
    };
    let name = match (&args.from, &args.from_file) {
        (_, Some(file)) => return template_of(file, kind),
        (name, None) => name.as_deref().unwrap_or_default(),
    };
    let strange = |error: serde_json::Error| Failure::Strange(error.to_string());
    if args.global {
        let api: Api<ClusterAnalysisTemplate> = Api::all(cluster.client.clone());
        match api.get(name).await {
            Ok(template) => serde_json::to_value(template).map_err(strange),
            Err(error) => {
                let kind = "clusteranalysistemplate.argoproj.io";
                Err(cluster.explain_other(error, kind, name).await)
            }
        }
    } else {
        match cluster.api::<AnalysisTemplate>().get(name).await {
            Ok(template) => serde_json::to_value(template).map_err(strange),
            Err(error) => {
                let kind = "analysistemplate.argoproj.io";
                Err(cluster.explain_other(error, kind, name).await)
            }
        }
    }
}

/// The run of a template: its spec with the arguments' values put in.
fn made(args: &AnalysisRunArgs, template: &Value) -> Result<Value, Failure> {
    let name = template["metadata"]["name"].as_str().unwrap_or_default();
    let mut metadata = Map::new();
    match (&args.name, &args.generate_name) {
        (Some(name), _) => metadata.insert("name".to_owned(), json!(name)),
        (None, Some(prefix)) => metadata.insert("generateName".to_owned(), json!(prefix)),
        (None, None) if name.is_empty() => {
            let message =
                "the template has no name; give the run one with --name or --generate-name";
            return Err(Failure::Usage(message.to_owned()));
        }
        (None, None) => metadata.insert("generateName".to_owned(), json!(format!("{name}-"))),
    };
    if let Some(id) = &args.instance_id {
        metadata.insert("labels".to_owned(), json!({(INSTANCE_ID): id}));
    }
    let mut spec = template["spec"].clone();
    // A run has no templates to include; only a controller could resolve them.
    if spec
        .get("templates")
        .and_then(Value::as_array)
        .is_some_and(|all| !all.is_empty())
    {
        let message = format!(
            "the template {name:?} includes others (spec.templates), which only a Rollout's run can; \
             create the run from one that has its metrics in itself"
        );
        return Err(Failure::Usage(message));
    }
    with_values(&mut spec, &args.arguments, name)?;
    Ok(
        json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
              "metadata": metadata, "spec": spec}),
    )
}

fn with_values(spec: &mut Value, values: &[(String, String)], name: &str) -> Result<(), Failure> {
    let declared = spec.get_mut("args").and_then(Value::as_array_mut);
    let mut declared = declared.map(std::mem::take).unwrap_or_default();
    for (argument, value) in values {
        let Some(found) = declared
            .iter_mut()
            .find(|one| one["name"] == argument.as_str())
        else {
            let known: Vec<_> = declared
                .iter()
                .filter_map(|one| one["name"].as_str())
                .collect();
            let known = if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            };
            let message =
                format!("the template {name:?} has no argument {argument:?}; it has: {known}");
            return Err(Failure::Usage(message));
        };
        *found = json!({"name": argument, "value": value});
    }
    let open: Vec<_> = declared
        .iter()
        .filter(|one| one.get("value").is_none() && one.get("valueFrom").is_none())
        .filter_map(|one| one["name"].as_str())
        .collect();
    if let Some(first) = open.first() {
        let message =
            format!("args.{first} was not resolved; give it a value with -a {first}=VALUE");
        return Err(Failure::Usage(message));
    }
    if !declared.is_empty() {
        spec["args"] = Value::Array(declared);
    }
    Ok(())
}

fn argument(typed: &str) -> Result<(String, String), String> {
    match typed.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("arguments must be in the form NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Typed {
        #[command(flatten)]
        args: AnalysisRunArgs,
    }

    fn typed(line: &str) -> AnalysisRunArgs {
        let words = std::iter::once("x").chain(line.split_whitespace());
        Typed::try_parse_from(words).expect("valid").args
    }

    fn template() -> Value {
        json!({"metadata": {"name": "rate"}, "spec": {
            "args": [{"name": "service"}, {"name": "limit", "value": "5"}],
            "metrics": [{"name": "m", "provider": {}}]}})
    }

    #[test]
    fn a_run_takes_its_values_and_its_name() {
        let run = made(
            &typed("--from rate -a service=web --instance-id b"),
            &template(),
        )
        .unwrap();
        assert_eq!(run["metadata"]["generateName"], "rate-");
        assert_eq!(run["metadata"]["labels"][INSTANCE_ID], "b");
        assert_eq!(
            run["spec"]["args"],
            json!([{"name": "service", "value": "web"}, {"name": "limit", "value": "5"}])
        );
        let named = made(&typed("--from rate -a service=a=b --name one"), &template()).unwrap();
        assert_eq!(named["metadata"], json!({"name": "one"}));
        assert_eq!(named["spec"]["args"][0]["value"], "a=b");
    }

    #[test]
    fn what_is_missing_is_said() {
        let open = made(&typed("--from rate"), &template())
            .unwrap_err()
            .to_string();
        assert!(open.starts_with("args.service was not resolved"), "{open}");
        let wrong = made(&typed("--from rate -a srv=1"), &template()).unwrap_err();
        assert!(
            wrong.to_string().contains("it has: service, limit"),
            "{wrong}"
        );
        assert!(Typed::try_parse_from(["x", "--name", "y"]).is_err());
        assert!(Typed::try_parse_from(["x", "--from", "a", "--from-file", "b"]).is_err());
    }
}
