//! `set image`: new images for containers, which starts an update.

use clap::{Args, Subcommand};
use crds::Rollout;
use crds::pod_template::PodTemplate;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::{Api, Resource, ResourceExt as _};
use serde_json::Value;

use super::cluster::{Cluster, ClusterArgs};
use super::console::Console;
use super::failure::{Failure, is_conflict};
use super::promote::ATTEMPTS;

/// What to set.
#[derive(Args, Clone, Debug)]
pub struct SetArgs {
    /// The part.
    #[command(subcommand)]
    pub part: Part,
}

/// A part of a Rollout that can be set.
#[derive(Clone, Debug, Subcommand)]
pub enum Part {
    /// New images for containers; init and ephemeral ones count too.
    Image(ImageArgs),
}

/// Which images.
#[derive(Args, Clone, Debug)]
pub struct ImageArgs {
    /// The Rollout
    pub name: String,
    /// CONTAINER=IMAGE; `*` stands for all containers
    #[arg(required = true, value_name = "CONTAINER=IMAGE", value_parser = image)]
    pub images: Vec<(String, String)>,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// Sets.
pub async fn run(
    args: &SetArgs,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let Part::Image(args) = &args.part;
    let rollout = cluster.rollout(&args.name).await?;
    let reference = rollout.spec.workload_ref.as_ref();
    // The pods of a Rollout that refers to a workload are described there.
    let target = match reference.and_then(|reference| reference.name.as_deref()) {
        Some(name) => Target::of::<Deployment>(cluster, "deployments.apps", "deployment", name),
        None => Target::of::<Rollout>(cluster, "rollout.argoproj.io", "rollout", &args.name),
    };
    target.set(&args.images, cluster).await?;
    console.print(&format!(
        "{} \"{}\" image updated\n",
        target.word, target.name
    ))
}

/// Puts the images into an object with a pod template.
pub fn with_images(mut object: Value, images: &[(String, String)]) -> Result<Value, Failure> {
    let name = object["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let template = object
        .pointer_mut("/spec/template")
        .map(Value::take)
        .unwrap_or_default();
    let mut template = PodTemplate::from_value(template).unwrap_or_default();
    for (container, image) in images {
        if !template.set_image(container, image) {
            let known: Vec<_> = template
                .containers()
                .map(crds::pod_template::Container::name)
                .collect();
            let known = known.join(", ");
            return Err(Failure::NoContainer {
                container: container.clone(),
                name,
                known,
            });
        }
    }
    object["spec"]["template"] = template.to_value();
    Ok(object)
}

fn image(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((container, image)) if !container.is_empty() && !image.is_empty() => {
            Ok((container.to_owned(), image.to_owned()))
        }
        _ => Err("CONTAINER=IMAGE is wanted, as in web=nginx:1.29".to_owned()),
    }
}

/// The object whose images are set. It is kept as JSON: a field that we do not know must not be
/// lost by writing the object back.
struct Target {
    api: Api<DynamicObject>,
    kind: &'static str,
    word: &'static str,
    name: String,
}

// === impl SetArgs ===

impl SetArgs {
    /// Which cluster.
    pub fn cluster(&self) -> &ClusterArgs {
        let Part::Image(args) = &self.part;
        &args.cluster
    }
}

// === impl Target ===

impl Target {
    fn of<K: Resource<DynamicType = ()>>(
        cluster: &Cluster,
        kind: &'static str,
        word: &'static str,
        name: &str,
    ) -> Self {
        let resource = ApiResource::erase::<K>(&());
        let api = Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &resource);
        Self {
            api,
            kind,
            word,
            name: name.to_owned(),
        }
    }

    async fn set(&self, images: &[(String, String)], cluster: &Cluster) -> Result<(), Failure> {
        for _ in 0..ATTEMPTS {
            let object = match self.api.get(&self.name).await {
                Ok(object) => object,
                Err(error) => {
                    return Err(cluster.explain_other(error, self.kind, &self.name).await);
                }
            };
            let strange = |error: serde_json::Error| Failure::Strange(error.to_string());
            let object = serde_json::to_value(object).map_err(strange)?;
            let object = with_images(object, images)?;
            let object: DynamicObject = serde_json::from_value(object).map_err(strange)?;
            let name = object.name_any();
            match self
                .api
                .replace(&name, &PostParams::default(), &object)
                .await
            {
                Ok(_) => return Ok(()),
                Err(error) if is_conflict(&error) => {}
                Err(error) => return Err(cluster.explain(error, &self.name).await),
            }
        }
        Err(Failure::Busy {
            name: self.name.clone(),
            attempts: ATTEMPTS,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn images_go_where_they_are_named() {
        let object = json!({"metadata": {"name": "web"}, "spec": {"future": 1, "template": {"spec": {
            "containers": [{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}],
            "initContainers": [{"name": "i", "image": "i:1"}]}}}});
        let set = |images: &[(&str, &str)]| {
            let images: Vec<_> = images
                .iter()
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                .collect();
            with_images(object.clone(), &images)
        };
        let image = |object: &Value, path: &str| object.pointer(path).unwrap().clone();
        let two = set(&[("b", "b:2"), ("i", "i:2")]).unwrap();
        assert_eq!(image(&two, "/spec/template/spec/containers/0/image"), "a:1");
        assert_eq!(image(&two, "/spec/template/spec/containers/1/image"), "b:2");
        assert_eq!(
            image(&two, "/spec/template/spec/initContainers/0/image"),
            "i:2"
        );
        assert_eq!(image(&two, "/spec/future"), 1);
        let all = set(&[("*", "x:9")]).unwrap();
        assert_eq!(image(&all, "/spec/template/spec/containers/0/image"), "x:9");
        let missing = set(&[("c", "c:1")]).unwrap_err().to_string();
        assert_eq!(
            missing,
            "unable to find container named \"c\"\n  web has: a, b"
        );
    }

    #[test]
    fn an_image_is_a_pair() {
        let pair = |a: &str, b: &str| Ok((a.to_owned(), b.to_owned()));
        assert_eq!(image("web=nginx:1"), pair("web", "nginx:1"));
        assert_eq!(image("*=r.io/x@sha256:a=b"), pair("*", "r.io/x@sha256:a=b"));
        for wrong in ["web", "web=", "=nginx"] {
            assert!(image(wrong).is_err(), "{wrong}");
        }
    }
}
