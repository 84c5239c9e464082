//! Many Rollouts, a line each: the table of `kubectl argo rollouts list rollouts`.

use crds::Rollout;
use kube::ResourceExt as _;

use super::text::{Paint, Text};
use super::weight::Progress;
use super::{Detail, columns, phase::Phase};

/// Which columns a list has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns {
    /// Whether the namespace stands first.
    pub namespace: bool,
    /// Whether images and message stand last.
    pub detail: Detail,
}

/// The headings with the least width of what stands below them. Argo pads the cells, so that lines
/// which follow later in a watch still stand below the headings.
const HEADINGS: [(&str, usize); 9] = [
    ("NAME", 10),
    ("STRATEGY", 9),
    ("STATUS", 12),
    ("STEP", 4),
    ("SET-WEIGHT", 10),
    ("READY", 5),
    ("DESIRED", 7),
    ("UP-TO-DATE", 10),
    ("AVAILABLE", 9),
];

/// The table, headings first.
pub fn table<'a>(rollouts: impl IntoIterator<Item = &'a Rollout>, shown: Columns) -> String {
    let mut headings: Vec<Text> = Vec::new();
    if shown.namespace {
        headings.push(Text::plain("NAMESPACE"));
    }
    headings.extend(HEADINGS.map(|(heading, _)| Text::plain(heading)));
    if shown.detail == Detail::Wide {
        headings.extend(["IMAGES", "MESSAGE"].map(Text::plain));
    }
    let mut rows = vec![headings];
    rows.extend(rollouts.into_iter().map(|rollout| row(rollout, shown)));
    columns::aligned(&rows, Paint::Plain)
}

fn row(rollout: &Rollout, shown: Columns) -> Vec<Text> {
    let phase = Phase::of(rollout);
    let padded =
        |(text, (_, width)): (String, (&str, usize))| Text::plain(format!("{text:<width$}"));
    let cells = cells(rollout, &phase).into_iter().zip(HEADINGS).map(padded);
    let mut row = Vec::new();
    if shown.namespace {
        row.push(Text::plain(format!(
            "{:<9}",
            rollout.namespace().unwrap_or_default()
        )));
    }
    row.extend(cells);
    if shown.detail == Detail::Wide {
        row.extend([Text::plain(images(rollout)), Text::plain(phase.message)]);
    }
    row
}

fn cells(rollout: &Rollout, phase: &Phase) -> [String; 9] {
    let status = rollout.status.clone().unwrap_or_default();
    let strategy = rollout.spec.strategy.as_ref();
    let progress = Progress::of(rollout);
    let strategy = match strategy {
        _ if progress.is_some() => "Canary",
        Some(strategy) if strategy.blue_green.is_some() => "BlueGreen",
        _ => "unknown",
    };
    let weight = progress.map(|progress| progress.set_weight().to_string());
    let count = |count: Option<i32>| count.unwrap_or_default().to_string();
    [
        rollout.name_any(),
        strategy.to_owned(),
        phase.word.clone(),
        progress
            .and_then(Progress::step)
            .unwrap_or_else(|| "-".to_owned()),
        weight.unwrap_or_else(|| "-".to_owned()),
        format!(
            "{}/{}",
            count(status.ready_replicas),
            count(status.replicas)
        ),
        rollout.spec.replicas.unwrap_or(1).to_string(),
        count(status.updated_replicas),
        count(status.available_replicas),
    ]
}

fn images(rollout: &Rollout) -> String {
    let containers = rollout
        .spec
        .template
        .iter()
        .flat_map(crds::PodTemplate::containers);
    let images: Vec<&str> = containers
        .filter_map(crds::pod_template::Container::image)
        .collect();
    images.join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rollout(name: &str, strategy: Value) -> Rollout {
        let status = json!({"currentStepIndex": 1, "replicas": 4, "readyReplicas": 1,
            "updatedReplicas": 3, "availableReplicas": 2, "phase": "Progressing", "message": "m"});
        let template = json!({"spec": {"containers": [{"name": "c", "image": "web:1"}]}});
        let spec = json!({"replicas": 5, "strategy": strategy, "template": template});
        let metadata = json!({"name": name, "namespace": "test"});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status}))
            .unwrap()
    }

    fn both() -> [Rollout; 2] {
        let steps = json!([{"setWeight": 10}, {"pause": {"duration": 60}}, {"setWeight": 20}]);
        [
            rollout("can-guestbook", json!({"canary": {"steps": steps}})),
            rollout("bg-guestbook", json!({"blueGreen": {"activeService": "a"}})),
        ]
    }

    #[test]
    fn the_table_is_argos() {
        let table = table(
            &both(),
            Columns {
                namespace: false,
                detail: Detail::Usual,
            },
        );
        let expected = "\
NAME           STRATEGY   STATUS        STEP  SET-WEIGHT  READY  DESIRED  UP-TO-DATE  AVAILABLE
can-guestbook  Canary     Progressing   1/3   10          1/4    5        3           2
bg-guestbook   BlueGreen  Progressing   -     -           1/4    5        3           2
";
        assert_eq!(table, expected);
    }

    #[test]
    fn namespace_images_and_message_are_extra() {
        let table = table(
            &both()[..1],
            Columns {
                namespace: true,
                detail: Detail::Wide,
            },
        );
        let line = table.lines().nth(1).unwrap();
        assert!(
            line.starts_with("test       can-guestbook  Canary"),
            "{line}"
        );
        assert!(line.ends_with("2          web:1   m"), "{line}");
    }
}
