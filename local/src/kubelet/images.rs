//! Commands for images that have none in the manifest. There is no image here: a container runs
//! its `command`, and where a manifest relies on the image's own entry point, the user says with
//! `--image NAME=COMMAND` what that is on this machine.

use std::collections::BTreeMap;

/// The entry points of images by name, with or without a tag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageCommands(BTreeMap<String, Vec<String>>);

/// Why `NAME=COMMAND` could not be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageCommandError {
    /// There is no `=`.
    #[error("{0:?} names no command: expected NAME=COMMAND, as in my-app:1.2=./my-app --port 80")]
    NoCommand(String),
    /// A quote is not closed.
    #[error("a quote in {0:?} is not closed")]
    OpenQuote(String),
}

impl ImageCommands {
    /// Gives `image` a command, in place of an earlier one.
    pub fn insert(&mut self, image: impl Into<String>, argv: Vec<String>) {
        self.0.insert(image.into(), argv);
    }

    /// Reads one `NAME=COMMAND`. The command is split at blanks; quotes keep words together.
    pub fn add(&mut self, text: &str) -> Result<(), ImageCommandError> {
        let no_command = || ImageCommandError::NoCommand(text.to_owned());
        let (name, command) = text.split_once('=').ok_or_else(no_command)?;
        let argv = words(command).ok_or_else(|| ImageCommandError::OpenQuote(text.to_owned()))?;
        if name.is_empty() || argv.is_empty() {
            return Err(no_command());
        }
        self.insert(name, argv);
        Ok(())
    }

    /// The entry point of `image`: that of the very name, else of the name without tag and digest.
    pub fn of(&self, image: &str) -> Option<&[String]> {
        self.0
            .get(image)
            .or_else(|| self.0.get(without_tag(image)))
            .map(Vec::as_slice)
    }
}

/// `registry:5000/app:1.2@sha256:…` without `:1.2@sha256:…`. A colon before a slash is a port.
fn without_tag(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or(image);
    match name.rsplit_once(':') {
        Some((base, tag)) if !tag.contains('/') => base,
        _ => name,
    }
}

/// Splits at blanks outside quotes; none if a quote is left open.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in text.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, _) if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_split_at_blanks_outside_quotes() {
        let table: [(&str, Option<&[&str]>); 5] = [
            ("a b  c", Some(&["a", "b", "c"])),
            ("a 'b c' \"d e\"f", Some(&["a", "b c", "d ef"])),
            ("''", Some(&[""])),
            ("  ", Some(&[])),
            ("a 'b", None),
        ];
        for (text, expected) in table {
            let expected = expected.map(|e| e.iter().map(ToString::to_string).collect::<Vec<_>>());
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn an_image_is_found_with_or_without_its_tag() {
        let mut images = ImageCommands::default();
        images.add("app=./any").unwrap();
        images.add("app:2=./two --x=1").unwrap();
        images.add("host:5000/app=./hosted").unwrap();
        let table: [(&str, Option<&[&str]>); 6] = [
            ("app", Some(&["./any"])),
            ("app:1", Some(&["./any"])),
            ("app:2", Some(&["./two", "--x=1"])),
            ("app@sha256:abc", Some(&["./any"])),
            ("host:5000/app:3", Some(&["./hosted"])),
            ("other", None),
        ];
        for (image, expected) in table {
            let found: Option<Vec<&str>> = images
                .of(image)
                .map(|argv| argv.iter().map(String::as_str).collect());
            assert_eq!(found.as_deref(), expected, "{image}");
        }
    }

    #[test]
    fn a_wrong_argument_says_what_is_expected() {
        let mut images = ImageCommands::default();
        for wrong in ["app", "=x", "app="] {
            assert_eq!(
                images.add(wrong),
                Err(ImageCommandError::NoCommand(wrong.to_owned()))
            );
        }
    }
}
