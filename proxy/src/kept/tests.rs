use std::os::unix::fs::PermissionsExt;

use super::*;

fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let store = Store::open(Some(directory.path().join("state"))).expect("made");
    (directory, store)
}

fn trips() -> Trips {
    let trip = Trip {
        split: "shop/app".into(),
        revision: "r2".into(),
        tripped_at_ms: 5,
        e_value: 1234.5,
        alpha: 0.001,
        canary: (3, 9),
        stable: (0, 90),
        reason: "canary 3 of 9 failed".into(),
    };
    Trips::from([("uid-1".to_owned(), trip)])
}

fn kept() -> Kept {
    let pair = KeyPairBytes {
        certificate_pem: b"certificate".to_vec(),
        key_pem: b"very secret".to_vec(),
    };
    let weight = KeptWeight {
        rollout_uid: Some("uid-1".into()),
        weight: EpochWeight {
            weight: 30,
            epoch: 4,
        },
        revision: "r2".into(),
    };
    Kept {
        saved_at_ms: 7,
        fleet: "shop/app".into(),
        version: Version {
            term: 1,
            counter: 2,
        },
        fleet_size: 3,
        document: RoutingConfig::default(),
        key_pairs: vec![KeptKeyPair::of("shop/tls@sha256:00", &pair).expect("text")],
        weights: BTreeMap::from([("shop/app".to_owned(), weight)]),
    }
}

#[test]
fn what_is_kept_is_read_again() {
    let (_directory, store) = store();
    assert!(store.configuration().expect("nothing yet").is_none());
    store.keep_configuration(&kept()).expect("kept");
    store.keep_trips(&trips()).expect("kept");
    let read = store.configuration().expect("read").expect("there");
    assert_eq!(
        read.version,
        Version {
            term: 1,
            counter: 2
        }
    );
    assert_eq!(read.weights["shop/app"].weight.weight, 30);
    assert_eq!(read.key_pairs[0].bytes().1.key_pem, b"very secret");
    assert_eq!(store.trips().expect("read"), trips());
}

#[test]
fn files_are_private_and_debug_shows_no_key() {
    let (directory, store) = store();
    store.keep_configuration(&kept()).expect("kept");
    let mode = |name: &str| {
        fs::metadata(directory.path().join(name))
            .expect("there")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!((mode("state"), mode("state/configuration")), (0o700, 0o600));
    assert!(!format!("{:?}", kept()).contains("very secret"));
}

#[test]
fn a_damaged_file_is_moved_aside_and_named() {
    let whole = encode(&trips());
    let rows = [
        (String::new(), "one line"),
        ("something else\n{}\n".to_owned(), "first line"),
        (whole.replace("r2", "r3"), "checksum"),
        (whole[..whole.len() - 9].to_owned(), "checksum"),
        (encode(&"another shape"), "not of this version"),
    ];
    for (text, problem) in rows {
        let (directory, store) = store();
        let path = directory.path().join("state/fuses");
        fs::write(&path, text).expect("written");
        let error = store.trips().expect_err(problem).to_string();
        assert!(error.contains(problem), "{error}");
        assert!(!path.exists() && path.with_extension("damaged").exists());
        assert_eq!(store.trips().expect("gone"), Trips::new());
    }
}

#[test]
fn without_a_directory_nothing_is_kept() {
    let store = Store::open(None).expect("nothing to make");
    store.keep_trips(&trips()).expect("ignored");
    assert_eq!(store.trips().expect("empty"), Trips::new());
}
