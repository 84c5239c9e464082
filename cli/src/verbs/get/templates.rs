//! AnalysisTemplates and ClusterAnalysisTemplates together: a name is looked for in the namespace
//! first, then in the cluster.

use crds::{AnalysisTemplate, ClusterAnalysisTemplate};
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};

use super::other::{list, namespaces};
use super::{GetArgs, Output, many, none, one};
use crate::tree::template::{self, Template};
use crate::tree::{Look, tables};
use crate::verbs::cluster::Cluster;
use crate::verbs::console::Console;
use crate::verbs::failure::{Failure, is_missing};

const KIND: &str = "analysistemplate.argoproj.io";

/// Shows one or all.
pub(super) async fn run(
    args: &GetArgs,
    look: Look,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    if args.watch {
        let message = "templates are not followed; leave -w out";
        return Err(Failure::Usage(message.to_owned()));
    }
    if let Some(name) = args.name.as_deref() {
        let found = find(name, cluster).await?;
        return console.print(&template::render(&found, look.paint));
    }
    let namespaced = list::<AnalysisTemplate>(args.all_namespaces, cluster).await?;
    let cluster_wide = of_cluster(cluster).await?;
    let all: Vec<Template> = namespaced
        .into_iter()
        .map(Template::from)
        .chain(cluster_wide.into_iter().map(Template::from))
        .collect();
    if all.is_empty() {
        none(args.all_namespaces, cluster, console);
        return Ok(());
    }
    let shown = namespaces(args.all_namespaces);
    console.print(&tables::templates(&all, shown, console.clock.now()))
}

/// One or all, as they were written.
pub(super) async fn data(
    args: &GetArgs,
    output: Output,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let Some(name) = args.name.as_deref() else {
        return many::data::<AnalysisTemplate>(args.all_namespaces, output, cluster, console).await;
    };
    match find(name, cluster).await?.namespace {
        Some(_) => one::data::<AnalysisTemplate>(name, output, cluster, console).await,
        None => one::cluster_data::<ClusterAnalysisTemplate>(name, output, cluster, console).await,
    }
}

async fn find(name: &str, cluster: &Cluster) -> Result<Template, Failure> {
    let namespaced = match cluster.api::<AnalysisTemplate>().get(name).await {
        Ok(found) => return Ok(found.into()),
        Err(error) => error,
    };
    if is_missing(&namespaced) {
        let api: Api<ClusterAnalysisTemplate> = Api::all(cluster.client.clone());
        if let Ok(found) = api.get(name).await {
            return Ok(found.into());
        }
    }
    Err(cluster.explain_other(namespaced, KIND, name).await)
}

/// Those of the whole cluster; none where they may not be seen, as in an installation for one
/// namespace.
async fn of_cluster(cluster: &Cluster) -> Result<Vec<ClusterAnalysisTemplate>, Failure> {
    let api: Api<ClusterAnalysisTemplate> = Api::all(cluster.client.clone());
    match api.list(&ListParams::default()).await {
        Ok(list) => Ok(list.items),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(Vec::new()),
        Err(error) => Err(cluster.explain(error, "").await),
    }
}

// === impl Template ===

impl From<AnalysisTemplate> for Template {
    fn from(template: AnalysisTemplate) -> Self {
        Self {
            kind: "AnalysisTemplate",
            namespace: Some(template.namespace().unwrap_or_default()),
            name: template.name_any(),
            created: template.creation_timestamp().map(|time| time.0),
            spec: template.spec,
        }
    }
}

impl From<ClusterAnalysisTemplate> for Template {
    fn from(template: ClusterAnalysisTemplate) -> Self {
        Self {
            kind: "ClusterAnalysisTemplate",
            namespace: None,
            name: template.name_any(),
            created: template.creation_timestamp().map(|time| time.0),
            spec: template.spec.into(),
        }
    }
}
