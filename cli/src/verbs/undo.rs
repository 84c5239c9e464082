//! `undo`: the pod template of an earlier revision becomes the wanted one again.

use std::collections::BTreeMap;

use clap::Args;
use crds::Rollout;
use crds::pod_template::{POD_TEMPLATE_HASH_LABEL, PodTemplate};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::PodTemplate as CorePodTemplate;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, Resource, ResourceExt as _};
use serde_json::{Value, json};

use super::cluster::{Cluster, ClusterArgs};
use super::console::Console;
use super::failure::Failure;

/// The number of a revision.
const REVISION: &str = "rollout.argoproj.io/revision";

/// Which Rollout, and how far back.
#[derive(Args, Clone, Debug)]
pub struct UndoArgs {
    /// The Rollout
    pub name: String,
    /// The revision to go back to; 0 is the one before the newest
    #[arg(long, default_value_t = 0, value_name = "REVISION")]
    pub to_revision: u32,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// Goes back.
pub async fn run(
    args: &UndoArgs,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let rollout = cluster.rollout(&args.name).await?;
    let templates = templates(&rollout, cluster).await?;
    let (revision, template) = chosen(templates, args.to_revision, &args.name)?;
    let home = Home::of(&rollout, cluster)?;
    if home.template(cluster).await?.same_as(&template) {
        let skipped = "skipped rollback (current template already matches revision";
        return console.print(&format!("{skipped} {revision})\n"));
    }
    home.replace(&template, cluster).await?;
    console.print(&format!("rollout '{}' undo\n", args.name))
}

/// Where a Rollout's pods are described: in itself, or in the workload that it refers to.
struct Home {
    api: Api<DynamicObject>,
    kind: &'static str,
    name: String,
    /// The JSON pointer of the template.
    path: &'static str,
}

// === impl Home ===

impl Home {
    fn of(rollout: &Rollout, cluster: &Cluster) -> Result<Self, Failure> {
        let Some(workload) = &rollout.spec.workload_ref else {
            let kind = "rollout.argoproj.io";
            return Ok(Self::at::<Rollout>(cluster, kind, &rollout.name_any()));
        };
        let name = workload.name.as_deref().unwrap_or_default();
        match workload.kind.as_deref().unwrap_or_default() {
            "Deployment" => Ok(Self::at::<Deployment>(cluster, "deployment.apps", name)),
            "ReplicaSet" => Ok(Self::at::<ReplicaSet>(cluster, "replicaset.apps", name)),
            "PodTemplate" => Ok(Self {
                path: "/template",
                ..Self::at::<CorePodTemplate>(cluster, "podtemplate", name)
            }),
            other => Err(Failure::Usage(format!(
                "the rollout refers to a workload of kind {other:?}, which has no pod template that can be set; \
                 workloadRef takes Deployment, ReplicaSet and PodTemplate"
            ))),
        }
    }

    fn at<K: Resource<DynamicType = ()>>(
        cluster: &Cluster,
        kind: &'static str,
        name: &str,
    ) -> Self {
        let resource = ApiResource::erase::<K>(&());
        Self {
            api: Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &resource),
            kind,
            name: name.to_owned(),
            path: "/spec/template",
        }
    }

    async fn template(&self, cluster: &Cluster) -> Result<PodTemplate, Failure> {
        let object = match self.api.get(&self.name).await {
            Ok(object) => object,
            Err(error) => return Err(cluster.explain_other(error, self.kind, &self.name).await),
        };
        let template = object.data.pointer(self.path).cloned();
        Ok(template
            .and_then(PodTemplate::from_value)
            .unwrap_or_default())
    }

    async fn replace(&self, template: &PodTemplate, cluster: &Cluster) -> Result<(), Failure> {
        let replace = json!([{"op": "replace", "path": self.path, "value": template}]);
        let replace: json_patch::Patch =
            serde_json::from_value(replace).map_err(|error| Failure::Strange(error.to_string()))?;
        let patch: Patch<()> = Patch::Json(replace);
        let patched = self
            .api
            .patch(&self.name, &PatchParams::default(), &patch)
            .await;
        match patched {
            Ok(_) => Ok(()),
            Err(error) => Err(cluster.explain_other(error, self.kind, &self.name).await),
        }
    }
}

/// The pod templates of a Rollout's revisions, as they were written.
async fn templates(
    rollout: &Rollout,
    cluster: &Cluster,
) -> Result<BTreeMap<u32, PodTemplate>, Failure> {
    let resource = ApiResource::erase::<ReplicaSet>(&());
    let api: Api<DynamicObject> =
        Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &resource);
    let sets = match api.list(&ListParams::default()).await {
        Ok(sets) => sets,
        Err(error) => return Err(cluster.explain(error, "").await),
    };
    let own = sets
        .into_iter()
        .filter(|set| is_owned(set, rollout.metadata.uid.as_deref()));
    Ok(own.filter_map(revision).collect())
}

fn is_owned(set: &DynamicObject, uid: Option<&str>) -> bool {
    let mut owners = set.owner_references().iter();
    uid.is_some_and(|uid| owners.any(|owner| owner.uid == uid))
}

fn revision(mut set: DynamicObject) -> Option<(u32, PodTemplate)> {
    let number = set.annotations().get(REVISION)?.parse().ok()?;
    let mut template = set.data.pointer_mut("/spec/template").map(Value::take)?;
    if let Some(labels) = template
        .pointer_mut("/metadata/labels")
        .and_then(Value::as_object_mut)
    {
        labels.remove(POD_TEMPLATE_HASH_LABEL);
    }
    Some((number, PodTemplate::from_value(template)?))
}

/// The revision asked for; for 0 the one before the newest.
fn chosen(
    mut templates: BTreeMap<u32, PodTemplate>,
    wanted: u32,
    name: &str,
) -> Result<(u32, PodTemplate), Failure> {
    let known: Vec<u32> = templates.keys().copied().collect();
    let number = if wanted == 0 {
        known.iter().rev().nth(1).copied()
    } else {
        Some(wanted)
    };
    let found = number.and_then(|number| templates.remove_entry(&number));
    found.ok_or_else(|| {
        let what = match wanted {
            0 => format!("no revision found for rollout {name:?} before the newest"),
            wanted => format!("unable to find specified revision {wanted} in history"),
        };
        Failure::NoRevision {
            what,
            hint: format!("there are: {known:?}"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_revision_before_the_newest_is_the_default() {
        let template = |image: &str| PodTemplate::from_value(json!({"image": image})).unwrap();
        let all = || BTreeMap::from([(3, template("c")), (7, template("g")), (5, template("e"))]);
        assert_eq!(chosen(all(), 0, "web").unwrap(), (5, template("e")));
        assert_eq!(chosen(all(), 3, "web").unwrap(), (3, template("c")));
        let missing = chosen(all(), 4, "web").unwrap_err().to_string();
        assert_eq!(
            missing,
            "unable to find specified revision 4 in history\n  there are: [3, 5, 7]"
        );
        let one = BTreeMap::from([(1, template("a"))]);
        assert!(chosen(one, 0, "web").is_err());
    }
}
