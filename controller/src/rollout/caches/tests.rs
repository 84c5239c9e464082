use kube::core::ObjectMeta;
use serde_json::json;

use super::*;
use crate::grants::{Grants, ReferenceGrant, ReferenceGrantSpec};
use crate::rollout::workload;

/// A Rollout of fleet `edge/web` that was created in that second.
fn rollout(namespace: &str, name: &str, second: i64, hostnames: &[&str]) -> Rollout {
    let created = jiff::Timestamp::from_second(second).expect("a time");
    let routing = json!({"fleet": "edge/web", "hostnames": hostnames});
    let rollout = json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"namespace": namespace, "name": name, "creationTimestamp": created},
        "spec": {"strategy": {"canary": {"trafficRouting": {"plugins": {"sluice/proxy": routing}}}}},
    });
    serde_json::from_value(rollout).expect("a Rollout")
}

/// Rollouts of these namespaces may use every fleet of `edge`.
fn grants(namespaces: &[&str]) -> Grants {
    Grants::of(namespaces.iter().map(|namespace| {
        let spec: ReferenceGrantSpec = serde_json::from_value(json!({
            "from": [{"group": "argoproj.io", "kind": "Rollout", "namespace": namespace}],
            "to": [{"group": "sluice", "kind": "Fleet"}],
        }))
        .expect("a grant");
        ReferenceGrant {
            metadata: ObjectMeta {
                name: Some((*namespace).to_owned()),
                namespace: Some("edge".to_owned()),
                ..ObjectMeta::default()
            },
            spec,
        }
    }))
}

fn caches(rollouts: &[Rollout], grants: Grants) -> Caches {
    Caches {
        seen: Arc::new(crate::caches::Caches::of(rollouts.to_vec(), grants)),
        workloads: workload::shelves().0,
    }
}

#[tokio::test]
async fn of_all_namespaces_the_oldest_rollout_that_may_use_a_fleet_has_a_hostname() {
    let all = [
        rollout("bank", "old", 1, &["a.example"]),
        rollout("shop", "middle", 2, &["*.example"]),
        rollout("edge", "new", 3, &["a.example"]),
    ];
    let rival = |granted: &[&str], which: usize| {
        let rival = caches(&all, grants(granted)).rival(&all[which])?;
        Some((rival.rollout, rival.hostname.unwrap_or_default()))
    };
    let rival_of = |rollout: &str, hostname: &str| Some((rollout.to_owned(), hostname.to_owned()));
    assert_eq!(rival(&["bank", "shop"], 0), None);
    // A name does not stand in the way of the wildcard above it.
    assert_eq!(rival(&["bank", "shop"], 1), None);
    assert_eq!(
        rival(&["bank", "shop"], 2),
        rival_of("bank/old", "a.example")
    );
    // Who may not use the fleet has nothing of it; another namespace's wildcard protects its names.
    assert_eq!(rival(&["shop"], 2), rival_of("shop/middle", "*.example"));
    assert_eq!(rival(&[], 2), None);
}

#[tokio::test]
async fn a_fleet_of_another_namespace_needs_a_grant() {
    let guest = rollout("bank", "web", 1, &[]);
    let granted = caches(std::slice::from_ref(&guest), grants(&["bank"]));
    assert_eq!(granted.ungranted(&guest, "bank"), None);
    let other = caches(std::slice::from_ref(&guest), grants(&["shop"]));
    let refusal = other.ungranted(&guest, "bank").expect("a refusal");
    assert!(refusal.contains("no ReferenceGrant in edge"), "{refusal}");
    let at_home = rollout("edge", "web", 1, &[]);
    assert_eq!(other.ungranted(&at_home, "edge"), None);
}
