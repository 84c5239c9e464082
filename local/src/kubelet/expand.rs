//! `$(VAR)` in commands, arguments and environment values, exactly as Kubernetes expands it
//! (`third_party/forked/golang/expansion`): a reference to a variable that is not set stays as it
//! is, `$$` is a `$` that starts no reference, and any other `$` is itself. No shell is involved.

use std::collections::BTreeMap;

/// Replaces every reference in `text` by what `lookup` knows.
pub fn expand<'a>(text: &str, lookup: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some((name, after)) = reference(rest) {
            match lookup(name) {
                Some(value) => expanded.push_str(value),
                None => expanded.extend(["$(", name, ")"]),
            }
            rest = after;
        } else {
            expanded.push('$');
        }
    }
    expanded.push_str(rest);
    expanded
}

/// [`expand`] with the variables of an environment.
pub fn expand_from(text: &str, env: &BTreeMap<String, String>) -> String {
    expand(text, |name| env.get(name).map(String::as_str))
}

/// `(NAME)` and what follows it.
fn reference(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('(')?.split_once(')')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_expand_as_kubernetes_does() {
        let env: BTreeMap<String, String> = [("A", "1"), ("B", "$(A)"), ("EMPTY", "")]
            .map(|(k, v)| (k.into(), v.into()))
            .into();
        let table = [
            ("plain", "plain"),
            ("$(A)", "1"),
            ("x$(A)y$(A)", "x1y1"),
            ("$(B)", "$(A)"),
            ("$(EMPTY)|", "|"),
            ("$(MISSING)", "$(MISSING)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$$$$(A)", "$$(A)"),
            ("$A ${A} $", "$A ${A} $"),
            ("$(A", "$(A"),
            ("é$(A)é", "é1é"),
        ];
        for (text, expected) in table {
            assert_eq!(expand_from(text, &env), expected, "{text}");
        }
    }
}
