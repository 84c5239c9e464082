//! Where a verb writes to.

use std::ffi::OsStr;
use std::io::Write;

use local::clock::Clock;

use super::failure::Failure;
use crate::tree::Paint;

/// What a verb needs of the world but the cluster.
pub struct Console<'a> {
    /// For what was asked for.
    pub out: &'a mut dyn Write,
    /// For remarks.
    pub err: &'a mut dyn Write,
    /// Whether a person looks at it, so that it may be drawn over and have colours.
    pub is_terminal: bool,
    /// The time, for ages.
    pub clock: Clock,
}

/// Clears the terminal, as Argo does.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[0;0H";

// === impl Console ===

impl Console<'_> {
    /// Writes a text as it is.
    pub fn print(&mut self, text: &str) -> Result<(), Failure> {
        self.out
            .write_all(text.as_bytes())
            .map_err(Failure::Output)?;
        self.out.flush().map_err(Failure::Output)
    }

    /// Writes a text in place of all that is on the terminal, in one write so that it does not
    /// flicker.
    pub fn redraw(&mut self, text: &str) -> Result<(), Failure> {
        self.print(&format!("{CLEAR}{text}"))
    }

    /// Writes a remark; one that cannot be written is not worth failing for.
    pub fn remark(&mut self, text: &str) {
        let _ = writeln!(self.err, "{text}");
    }
}

/// Whether to write colours: only to a capable terminal, and only to people who want them.
/// `no_color` is the variable of that name (see no-color.org: any value but the empty one counts).
pub fn paint(
    is_terminal: bool,
    unwanted: bool,
    no_color: Option<&OsStr>,
    term: Option<&OsStr>,
) -> Paint {
    let is_refused = unwanted || no_color.is_some_and(|value| !value.is_empty());
    let is_dumb = term.is_some_and(|term| term == "dumb");
    if is_terminal && !is_refused && !is_dumb {
        Paint::Ansi
    } else {
        Paint::Plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        let value = |text: &'static str| Some(OsStr::new(text));
        let table = [
            (true, false, None, value("xterm"), Paint::Ansi),
            (true, false, value(""), None, Paint::Ansi),
            (true, false, value("1"), None, Paint::Plain),
            (true, true, None, None, Paint::Plain),
            (true, false, None, value("dumb"), Paint::Plain),
            (false, false, None, None, Paint::Plain),
        ];
        for (is_terminal, unwanted, no_color, term, expected) in table {
            assert_eq!(paint(is_terminal, unwanted, no_color, term), expected);
        }
    }
}
