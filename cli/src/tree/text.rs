//! Words with colours, as a table's cells need them: how wide they look and how they are written
//! are two things.

/// Whether colours are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Text only: for files, pipes, `NO_COLOR` and `--no-color`.
    Plain,
    /// ANSI colours: for terminals.
    Ansi,
}

/// The colours in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    Red,
    Green,
    Yellow,
    Blue,
}

/// A piece of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text(Vec<(String, Option<Colour>)>);

// === impl Colour ===

impl Colour {
    /// The colour of a well-known word or icon; Argo's choice.
    pub(crate) fn of(word: &str) -> Option<Self> {
        match word {
            "✔" | "stable" | "active" => Some(Self::Green),
            "✖" | "⚠" => Some(Self::Red),
            "◷" | "?" | "canary" => Some(Self::Yellow),
            "◌" | "preview" | "ping" | "pong" | "Pending" | "Running" => Some(Self::Blue),
            _ => None,
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Red => 31,
            Self::Green => 32,
            Self::Yellow => 33,
            Self::Blue => 94,
        }
    }
}

// === impl Text ===

impl Text {
    /// Without colour.
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self(vec![(text.into(), None)])
    }

    /// In the colour that the word itself has.
    pub(crate) fn word(word: &str) -> Self {
        Self::coloured(word, Colour::of(word))
    }

    /// In a given colour.
    pub(crate) fn coloured(text: impl Into<String>, colour: Option<Colour>) -> Self {
        Self(vec![(text.into(), colour)])
    }

    /// Followed by another.
    pub(crate) fn then(mut self, next: Self) -> Self {
        self.0.extend(next.0);
        self
    }

    /// Several in a row with something between them.
    pub(crate) fn joined(texts: impl IntoIterator<Item = Self>, between: &str) -> Self {
        let mut whole = Self::default();
        for text in texts {
            if !whole.0.is_empty() {
                whole = whole.then(Self::plain(between));
            }
            whole = whole.then(text);
        }
        whole
    }

    /// How many columns it takes. Every character in use is one column wide.
    pub(crate) fn width(&self) -> usize {
        self.0.iter().map(|(text, _)| text.chars().count()).sum()
    }

    /// As it is written.
    pub(crate) fn painted(&self, paint: Paint) -> String {
        let piece = |(text, colour): &(String, Option<Colour>)| match (paint, colour) {
            (Paint::Ansi, Some(colour)) => format!("\x1b[{}m{text}\x1b[0m", colour.code()),
            _ => text.clone(),
        };
        self.0.iter().map(piece).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_take_no_room_and_plain_text_has_none() {
        let text = Text::joined([Text::word("canary"), Text::plain("delay:20s")], ",");
        assert_eq!(text.width(), "canary,delay:20s".len());
        assert_eq!(text.painted(Paint::Plain), "canary,delay:20s");
        assert_eq!(text.painted(Paint::Ansi), "\x1b[33mcanary\x1b[0m,delay:20s");
    }
}
