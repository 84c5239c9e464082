//! `undo`: the pod template of an earlier revision becomes the wanted one again.

use std::collections::BTreeMap;

use clap::Args;
use crds::Rollout;
use crds::pod_template::{POD_TEMPLATE_HASH_LABEL, PodTemplate};
use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
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
    if rollout.spec.workload_ref.is_some() {
        let message = "the pods of this rollout are described by the workload that it refers to; \
                       undo that one: kubectl rollout undo";
        return Err(Failure::Usage(message.to_owned()));
    }
    let templates = templates(&rollout, cluster).await?;
    let (revision, template) = chosen(templates, args.to_revision, &args.name)?;
    if rollout
        .spec
        .template
        .as_ref()
        .is_some_and(|current| current.same_as(&template))
    {
        let skipped = "skipped rollback (current template already matches revision";
        return console.print(&format!("{skipped} {revision})\n"));
    }
    let replace = json!([{"op": "replace", "path": "/spec/template", "value": template}]);
    let replace: json_patch::Patch =
        serde_json::from_value(replace).map_err(|error| Failure::Strange(error.to_string()))?;
    let patch: Patch<()> = Patch::Json(replace);
    let patched = cluster
        .rollouts()
        .patch(&args.name, &PatchParams::default(), &patch)
        .await;
    match patched {
        Ok(_) => console.print(&format!("rollout '{}' undo\n", args.name)),
        Err(error) => Err(cluster.explain(error, &args.name).await),
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
