//! Secrets stay secret: whatever is told to people has their values taken out, in every form in which
//! they may come back from a server, a library or the API.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use crate::fetch::form;

/// What stands for a Secret's value where it does not matter, or must not be seen.
pub const REDACTED: &str = "*****";

/// Shorter lines of a Secret of several lines are not looked for by themselves: they are words.
const SHORTEST_LINE: usize = 8;

/// Shorter pieces of a Secret say nothing about it.
const SHORTEST_WORD: usize = 4;

/// Takes Secrets out of texts.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Redactor {
    /// From the longest to the shortest, so that no part is left of a longer one.
    forms: Vec<String>,
}

/// What it looks for is what must not be shown.
impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").finish_non_exhaustive()
    }
}

// === impl Redactor ===

impl Redactor {
    /// One that takes out these values.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut redactor = Self::default();
        for secret in secrets {
            redactor.add(secret);
        }
        redactor
    }

    /// Takes out this value too, as it is, without the white space around it, and in each encoding.
    pub fn add(&mut self, secret: &str) {
        let lines = secret
            .lines()
            .filter(|line| line.trim().len() >= SHORTEST_LINE);
        for text in [secret, secret.trim()].into_iter().chain(lines) {
            self.forms.extend(encodings(text));
        }
        // An error about a path or a condition may name the piece of it that it did not understand.
        let words = secret.split(|c: char| !c.is_alphanumeric() && c != '_');
        let words = words.filter(|word| word.chars().count() >= SHORTEST_WORD);
        self.forms.extend(words.map(str::to_owned));
        self.forms.sort_by(|a, b| (b.len(), b).cmp(&(a.len(), a)));
        self.forms.dedup();
    }

    /// The text without them.
    pub fn redact(&self, text: &str) -> String {
        let mut redacted = text.to_owned();
        for form in &self.forms {
            if redacted.contains(form.as_str()) {
                redacted = redacted.replace(form.as_str(), REDACTED);
            }
        }
        redacted
    }
}

/// A text as it is, and as JSON, Go, URLs and basic authentication write it.
fn encodings(text: &str) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    let json = serde_json::Value::from(text).to_string();
    let debugged = format!("{text:?}");
    let inside = |quoted: &str| quoted[1..quoted.len() - 1].to_owned();
    // Go writes these three in JSON strings as escapes.
    let go = inside(&json)
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026");
    let encoded = form(&[("", text)]).trim_start_matches('=').to_owned();
    let in_path = encoded.replace('+', "%20");
    let in_url = reqwest::Url::parse("http://a/").ok().map(|mut url| {
        url.set_path(text);
        url.path().trim_start_matches('/').to_owned()
    });
    let mut forms = vec![
        text.to_owned(),
        inside(&json),
        inside(&debugged),
        go,
        encoded.to_lowercase(),
        in_path.to_lowercase(),
        encoded,
        in_path,
        STANDARD.encode(text),
        URL_SAFE.encode(text),
    ];
    forms.extend(in_url);
    forms.retain(|form| !form.is_empty());
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_form_of_a_secret_is_left() {
        let secret = "p\"a ss<w>&\\örd/+\n";
        let redactor = Redactor::new([secret]);
        let url = reqwest::Url::parse(&format!("http://a/{secret}?q={secret}")).unwrap();
        let mut asked = reqwest::Url::parse("http://a/").unwrap();
        asked.query_pairs_mut().append_pair("q", secret);
        let texts = [
            secret.to_owned(),
            secret.trim().to_owned(),
            format!("{secret:?}"),
            serde_json::json!({ "a": secret }).to_string(),
            asked.to_string(),
            STANDARD.encode(secret),
            url.path().to_owned(),
        ];
        for text in texts {
            let redacted = redactor.redact(&text);
            assert!(redacted.contains(REDACTED), "{text}: {redacted}");
            assert!(!redacted.contains("rd"), "{text}: {redacted}");
        }
    }

    #[test]
    fn long_secrets_go_before_the_short_ones_in_them() {
        let redactor = Redactor::new(["ab", "abcd", ""]);
        assert_eq!(redactor.redact("abcd ab x"), "***** ***** x");
        assert_eq!(Redactor::default().redact("x"), "x");
        let lines = Redactor::new(["-- begin --\nabcdefghijk\nxy\n-- end --"]);
        assert_eq!(lines.redact("bad: abcdefghijk, xy"), "bad: *****, xy");
    }
}
