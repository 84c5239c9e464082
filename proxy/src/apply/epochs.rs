//! Weight epochs for files, whose authors should not have to count them.

use uplink::document::{RoutingConfig, Split};

/// Raises the epoch of each split whose shares are not those of the document `before`: evidence of
/// two weights, or of two canaries, must not be mixed. `newest` is the highest epoch that a split was
/// ever given. An epoch in the file that is higher stands as it is.
pub(crate) fn number_epochs(
    document: &mut RoutingConfig,
    before: Option<&RoutingConfig>,
    newest: impl Fn(&str) -> u64,
) {
    let shares: Vec<_> = document
        .splits
        .values()
        .map(|split| shares(document, split))
        .collect();
    for ((name, split), shares) in document.splits.iter_mut().zip(shares) {
        let known = before.and_then(|before| Some((before, before.splits.get(name)?)));
        let Some((before, known)) = known else {
            // A name that comes back must not fall behind the epochs that it had.
            split.epoch = split.epoch.max(newest(name));
            continue;
        };
        let same = self::shares(before, known) == shares;
        let least = if same {
            known.epoch
        } else {
            known.epoch.max(newest(name)) + 1
        };
        split.epoch = split.epoch.max(least);
    }
}

/// What decides which requests go where, as far as evidence depends on it.
fn shares(document: &RoutingConfig, split: &Split) -> (u32, u32, Option<String>, Vec<String>) {
    let revision = |name: &String| {
        let cluster = document.clusters.get(name);
        cluster
            .and_then(|cluster| cluster.revision.clone())
            .unwrap_or_else(|| name.clone())
    };
    let revisions = std::iter::once(&split.stable)
        .chain(&split.canary)
        .map(revision);
    (
        split.weight,
        split.max_weight,
        split.salt.clone(),
        revisions.collect(),
    )
}

#[cfg(test)]
mod tests {
    use uplink::document::Cluster;

    use super::*;

    fn document(weight: u32, epoch: u64, revision: &str) -> RoutingConfig {
        let split = Split {
            stable: "stable".into(),
            canary: Some("canary".into()),
            weight,
            max_weight: 100,
            epoch,
            ..Split::default()
        };
        let canary = Cluster {
            revision: Some(revision.into()),
            ..Cluster::default()
        };
        RoutingConfig {
            splits: [("app".to_owned(), split)].into(),
            clusters: [("canary".to_owned(), canary)].into(),
            ..RoutingConfig::default()
        }
    }

    #[test]
    fn a_change_of_weight_or_canary_begins_an_epoch() {
        // (before: weight, epoch, canary), (file: weight, epoch, canary), newest, expected epoch
        let rows = [
            ((10, 0, "r2"), (10, 0, "r2"), 0, 0),
            ((10, 0, "r2"), (20, 0, "r2"), 0, 1),
            ((10, 4, "r2"), (20, 0, "r2"), 4, 5),
            ((10, 4, "r2"), (20, 9, "r2"), 4, 9),
            ((10, 4, "r2"), (10, 0, "r3"), 4, 5),
            ((10, 4, "r2"), (20, 4, "r2"), 7, 8),
        ];
        for (before, file, newest, expected) in rows {
            let before = document(before.0, before.1, before.2);
            let mut file = document(file.0, file.1, file.2);
            number_epochs(&mut file, Some(&before), |_| newest);
            assert_eq!(file.splits["app"].epoch, expected, "{before:?}");
        }
    }

    #[test]
    fn the_first_document_keeps_its_epochs_unless_the_name_had_higher_ones() {
        let mut first = document(10, 3, "r2");
        number_epochs(&mut first, None, |_| 0);
        assert_eq!(first.splits["app"].epoch, 3);
        number_epochs(&mut first, Some(&RoutingConfig::default()), |_| 7);
        assert_eq!(first.splits["app"].epoch, 7);
    }
}
