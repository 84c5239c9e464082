//! Which images run, and what for.

use std::collections::{BTreeMap, BTreeSet};

use crds::Experiment;

use super::node::annotation;
use super::text::Text;
use super::{TreeInput, sets, sets_of};

/// Which template of an Experiment a ReplicaSet is of.
const EXPERIMENT_TEMPLATE: &str = "experiment.argoproj.io/template-name";

/// Each image once, with its tags: `nginx:2 (canary)`.
pub(super) fn lines(input: &TreeInput) -> Vec<Text> {
    let mut images: BTreeMap<&str, Tags> = BTreeMap::new();
    for set in sets_of(input, &input.rollout) {
        let tags: Vec<String> = sets::tags(input, set)
            .into_iter()
            .map(ToOwned::to_owned)
            .collect();
        for image in sets::images(set) {
            images.entry(image).or_default().add(&tags);
        }
    }
    for one in &input.experiments {
        add_experiment(input, one, &mut images);
    }
    listed(images)
}

/// Each image of an Experiment once: `nginx:2 (Σ:canary)`.
pub(super) fn of_experiment(input: &TreeInput, one: &Experiment) -> Vec<Text> {
    let mut images = BTreeMap::new();
    add_experiment(input, one, &mut images);
    listed(images)
}

fn add_experiment<'a>(
    input: &'a TreeInput,
    one: &'a Experiment,
    images: &mut BTreeMap<&'a str, Tags>,
) {
    for set in sets_of(input, one) {
        let template = annotation(set, EXPERIMENT_TEMPLATE);
        let tags: Vec<String> = template.iter().map(|name| format!("Σ:{name}")).collect();
        for image in sets::images(set) {
            images.entry(image).or_default().add(&tags);
        }
    }
}

fn listed(images: BTreeMap<&str, Tags>) -> Vec<Text> {
    images
        .into_iter()
        .map(|(image, tags)| tags.line(image))
        .collect()
}

/// What an image runs for: in the order given while one ReplicaSet has it, else by the alphabet.
#[derive(Default)]
struct Tags {
    tags: Vec<String>,
    seen: bool,
}

// === impl Tags ===

impl Tags {
    fn add(&mut self, tags: &[String]) {
        self.tags.extend_from_slice(tags);
        if self.seen {
            let sorted: BTreeSet<String> = self.tags.drain(..).collect();
            self.tags.extend(sorted);
        }
        self.seen = true;
    }

    fn line(self, image: &str) -> Text {
        if self.tags.is_empty() {
            return Text::plain(image);
        }
        let tags = Text::joined(self.tags.iter().map(|tag| Text::word(tag)), ", ");
        Text::plain(format!("{image} ("))
            .then(tags)
            .then(Text::plain(")"))
    }
}
