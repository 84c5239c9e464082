//! Where a Rollout's routing block stands, by its strategy.
//!
//! A canary names it in `trafficRouting.plugins`. Blue-green has no `trafficRouting`, and Argo's
//! schema would prune one, so its block is the YAML of an annotation with the plugin's name: the same
//! keys, read as strictly.

use serde_json::{Value, json};

use super::{FieldError, PLUGIN_NAME, ProxyRouting};
use crate::Rollout;

/// The path of a canary's block.
pub const CANARY_PATH: &str = "spec.strategy.canary.trafficRouting.plugins.sluice/proxy";
/// The path of blue-green's block.
pub const ANNOTATION_PATH: &str = "metadata.annotations[sluice/proxy]";

/// Blue-green moves everybody at once.
const NO_SIDES: &str = "has no meaning with blueGreen, which moves all users at once: there are no sides to keep them \
                        on; leave it out";
/// What a fuse compares is never there at the same time.
const NO_COMPARISON: &str = "has no meaning with blueGreen: a fuse compares two versions that serve at the same time; \
                             leave it out, or write {\"enabled\":false}, and judge the new version with \
                             prePromotionAnalysis and postPromotionAnalysis";

// === impl ProxyRouting ===

impl ProxyRouting {
    /// Reads a Rollout's block; `None` where our proxies have nothing to do with it. Every error at
    /// once, with its path.
    pub fn of(rollout: &Rollout) -> Option<Result<Self, Vec<FieldError>>> {
        let strategy = rollout.spec.strategy.as_ref()?;
        if let Some(canary) = &strategy.canary {
            let block = canary.traffic_routing.as_ref()?.sluice_proxy()?;
            return Some(Self::parse(block, CANARY_PATH));
        }
        strategy.blue_green.as_ref()?;
        Some(annotated(annotation(rollout)?))
    }
}

/// The text of blue-green's block, on whatever Rollout it stands.
pub fn annotation(rollout: &Rollout) -> Option<&str> {
    let annotations = rollout.metadata.annotations.as_ref()?;
    annotations.get(PLUGIN_NAME).map(String::as_str)
}

fn annotated(text: &str) -> Result<ProxyRouting, Vec<FieldError>> {
    let block: Value = serde_saphyr::from_str(text).map_err(|error| {
        let message =
            format!("must be the YAML of an object with the keys of {PLUGIN_NAME}: {error}");
        vec![error_at("", json!(text), message)]
    })?;
    let mut errors = Vec::new();
    if let Some(sticky) = block.get("sticky").filter(|value| !value.is_null()) {
        errors.push(error_at(".sticky", sticky.clone(), NO_SIDES));
    }
    let routing = ProxyRouting::parse(&block, ANNOTATION_PATH);
    let fuse = block.get("fuse").filter(|value| !value.is_null());
    if let (Ok(routing), Some(fuse)) = (&routing, fuse)
        && routing.fuse.enabled
    {
        errors.push(error_at(".fuse", fuse.clone(), NO_COMPARISON));
    }
    match routing {
        Ok(mut routing) if errors.is_empty() => {
            routing.fuse.enabled = false;
            Ok(routing)
        }
        Ok(_) => Err(errors),
        Err(others) => {
            errors.extend(others);
            Err(errors)
        }
    }
}

fn error_at(key: &str, value: Value, message: impl Into<String>) -> FieldError {
    FieldError {
        path: format!("{ANNOTATION_PATH}{key}"),
        value,
        message: message.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::PortRef;

    fn rollout(strategy: Value, annotation: Option<&str>) -> Rollout {
        let annotations = annotation.map(|text| json!({(PLUGIN_NAME): text}));
        let rollout = json!({
            "metadata": {"name": "web", "annotations": annotations},
            "spec": {"strategy": strategy},
        });
        serde_json::from_value(rollout).unwrap()
    }

    fn blue_green(annotation: &str) -> Rollout {
        rollout(
            json!({"blueGreen": {"activeService": "web"}}),
            Some(annotation),
        )
    }

    #[test]
    fn a_block_is_found_where_its_strategy_has_it() {
        let canary =
            json!({"canary": {"trafficRouting": {"plugins": {(PLUGIN_NAME): {"fleet": "edge"}}}}});
        let routing = ProxyRouting::of(&rollout(canary, None)).unwrap().unwrap();
        assert_eq!(routing.fleet.as_deref(), Some("edge"));
        assert!(routing.fuse.enabled);
        let text = "fleet: edge\nhostnames: [web.example.com]\nport: http\noverride: {header: X-Preview, value: \"on\"}\n";
        let routing = ProxyRouting::of(&blue_green(text)).unwrap().unwrap();
        assert_eq!(routing.fleet.as_deref(), Some("edge"));
        assert_eq!(routing.hostnames, ["web.example.com"]);
        assert_eq!(routing.port, Some(PortRef::Name("http".to_owned())));
        assert!(routing.override_.is_some() && !routing.fuse.enabled);
    }

    #[test]
    fn without_a_block_our_proxies_have_nothing_to_do() {
        let without = [
            json!({"blueGreen": {"activeService": "web"}}),
            json!({"canary": {}}),
            json!({}),
        ];
        for strategy in without {
            assert!(
                ProxyRouting::of(&rollout(strategy.clone(), None)).is_none(),
                "{strategy}"
            );
        }
    }

    #[test]
    fn an_annotation_is_read_as_strictly_as_a_block() {
        let table = [
            ("{}", Vec::new()),
            ("fuse: {enabled: false}", Vec::new()),
            (
                "fleets: edge",
                vec!["metadata.annotations[sluice/proxy].fleets"],
            ),
            ("[]", vec!["metadata.annotations[sluice/proxy]"]),
            ("fleet: [", vec!["metadata.annotations[sluice/proxy]"]),
            (
                "{sticky: {header: X-User}, fuse: {}}",
                vec![
                    "metadata.annotations[sluice/proxy].sticky",
                    "metadata.annotations[sluice/proxy].fuse",
                ],
            ),
            (
                "{sticky: {header: X-User}, port: 0}",
                vec![
                    "metadata.annotations[sluice/proxy].sticky",
                    "metadata.annotations[sluice/proxy].port",
                ],
            ),
        ];
        for (text, expected) in table {
            let errors = ProxyRouting::of(&blue_green(text))
                .unwrap()
                .err()
                .unwrap_or_default();
            let paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
            assert_eq!(paths, expected, "{text}");
        }
    }
}
