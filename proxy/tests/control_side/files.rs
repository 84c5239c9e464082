//! Configurations, certificates, and files of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, KeyPair};
use uplink::document::{
    BackendRef, Certificate, CertificateFiles, Cluster, Route, RoutingConfig, Split, to_json,
};
use uplink::proto;

use crate::app::App;

pub(crate) const SPLIT: &str = "shop/app";
pub(crate) const UID: &str = "uid-1";

/// One route to a split between two apps, at `weight` per cent for the canary `r2`.
pub(crate) fn document(stable: &App, canary: &App, weight: u32) -> RoutingConfig {
    let split = Split {
        rollout_uid: Some(UID.into()),
        stable: "stable".into(),
        canary: Some("canary".into()),
        weight,
        max_weight: 100,
        epoch: 1,
        ..Split::default()
    };
    let backend = BackendRef {
        split: Some(SPLIT.into()),
        cluster: None,
    };
    RoutingConfig {
        routes: vec![Route {
            name: "web".into(),
            backend,
            ..Route::default()
        }],
        splits: BTreeMap::from([(SPLIT.to_owned(), split)]),
        clusters: BTreeMap::from([
            ("stable".to_owned(), cluster("r1", stable)),
            ("canary".to_owned(), cluster("r2", canary)),
        ]),
        ..RoutingConfig::default()
    }
}

pub(crate) fn cluster(revision: &str, app: &App) -> Cluster {
    Cluster {
        revision: Some(revision.into()),
        endpoints: vec![app.address.to_string()],
        ..Cluster::default()
    }
}

pub(crate) fn split(document: &mut RoutingConfig) -> &mut Split {
    document.splits.get_mut(SPLIT).expect("there")
}

/// A scratch directory of files.
pub(crate) struct Files(tempfile::TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a scratch directory"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Written as a whole, as an editor or a ConfigMap does it.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let new = self.path(&format!("{name}.new"));
        fs::write(&new, text).expect("written");
        fs::rename(&new, self.path(name)).expect("renamed");
        self.path(name)
    }

    pub(crate) fn write_document(&self, document: &RoutingConfig) -> PathBuf {
        self.write("routing.json", &to_json(document))
    }

    /// A certificate for `app.test`, and its key.
    pub(crate) fn certificate(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["app.test".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("signed");
        let (chain, private) = (format!("{name}.crt"), format!("{name}.key"));
        self.write(&chain, &certificate.pem());
        self.write(&private, &key.serialize_pem());
        (shown(&self.path(&chain)), shown(&self.path(&private)))
    }
}

/// The document with a certificate that travels apart.
pub(crate) fn with_secret(mut document: RoutingConfig) -> RoutingConfig {
    let secret = Some(format!("shop/tls@sha256:{}", "0".repeat(64)));
    document.certificates = vec![Certificate {
        names: Vec::new(),
        files: None,
        secret,
    }];
    document
}

/// The bytes of that certificate.
pub(crate) fn key_pair(chain: &str, key: &str) -> proto::KeyPair {
    let read = |path: &str| fs::read(path).expect("a file");
    proto::KeyPair {
        reference: format!("shop/tls@sha256:{}", "0".repeat(64)),
        certificate_pem: read(chain),
        key_pem: read(key),
    }
}

/// The document with a certificate of these files.
pub(crate) fn with_certificate(
    mut document: RoutingConfig,
    chain: &str,
    key: &str,
) -> RoutingConfig {
    let files = CertificateFiles {
        certificate: chain.into(),
        key: key.into(),
    };
    document.certificates = vec![Certificate {
        names: Vec::new(),
        files: Some(files),
        secret: None,
    }];
    document
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
