//! The cluster that a verb talks to: which, and how to reach it.

use std::path::PathBuf;

use clap::Args;
use crds::Rollout;
use k8s_openapi::NamespaceResourceScope;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Api, Client, Config, Resource};

use super::failure::{self, Failure};

/// Which cluster, and where in it.
#[derive(Args, Clone, Debug, Default)]
pub struct ClusterArgs {
    /// The namespace; by default that of the context
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// The kubeconfig file; by default $KUBECONFIG, then ~/.kube/config
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context in the kubeconfig; by default its current one
    #[arg(long)]
    pub context: Option<String>,
}

/// A cluster, ready for requests.
#[derive(Clone)]
pub struct Cluster {
    /// For requests.
    pub client: Client,
    /// The namespace in which names are looked up.
    pub namespace: String,
    /// The URL, for errors.
    pub url: String,
    /// Where the URL comes from, for errors.
    pub origin: String,
}

// === impl Cluster ===

impl Cluster {
    /// The cluster that the arguments and the environment name.
    pub async fn reach(args: &ClusterArgs) -> Result<Self, Failure> {
        let origin = origin(args);
        let unusable = |cause: String| Failure::Kubeconfig {
            origin: origin.clone(),
            cause,
        };
        let config = config(args)
            .await
            .map_err(|error| unusable(failure::chain(&error)))?;
        let namespace = args
            .namespace
            .clone()
            .unwrap_or_else(|| config.default_namespace.clone());
        let url = config.cluster_url.to_string();
        let client = Client::try_from(config).map_err(|error| unusable(failure::chain(&error)))?;
        Ok(Self {
            client,
            namespace,
            url: url.trim_end_matches('/').to_owned(),
            origin,
        })
    }

    /// The Rollouts of the namespace.
    pub fn rollouts(&self) -> Api<Rollout> {
        self.api()
    }

    /// The objects of a kind in the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A Rollout.
    pub async fn rollout(&self, name: &str) -> Result<Rollout, Failure> {
        let got = self.rollouts().get(name).await;
        match got {
            Ok(rollout) => Ok(rollout),
            Err(error) => Err(self.explain(error, name).await),
        }
    }
}

async fn config(args: &ClusterArgs) -> Result<Config, KubeconfigError> {
    let options = KubeConfigOptions {
        context: args.context.clone(),
        ..KubeConfigOptions::default()
    };
    let file = match &args.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let mut config = match file {
        Ok(file) => Config::from_custom_kubeconfig(file, &options).await?,
        // In a pod there is no file, and nobody has said that there is one.
        Err(error) if args.kubeconfig.is_none() && args.context.is_none() => {
            Config::incluster().map_err(|_| error)?
        }
        Err(error) => return Err(error),
    };
    // A person waits: better to hear at once that the cluster is away.
    config.default_retry = false;
    Ok(config)
}

fn origin(args: &ClusterArgs) -> String {
    let of_environment = || {
        std::env::var("KUBECONFIG")
            .ok()
            .filter(|value| !value.is_empty())
    };
    match &args.kubeconfig {
        Some(path) => path.display().to_string(),
        None => of_environment().unwrap_or_else(|| "~/.kube/config".to_owned()),
    }
}
