//! Where the demo's views go: redrawn in place on a terminal, or as lines into a file or pipe.

use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use super::screen::{Paint, View};

/// On a terminal a view is drawn this often at most.
const REDRAW_EVERY: Duration = Duration::from_millis(200);
/// In a log a line is written this often even if nothing has happened.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows views.
pub struct Terminal {
    out: Box<dyn Write + Send>,
    form: Form,
    paint: Paint,
    shown: View,
}

enum Form {
    /// So many lines are on the screen already.
    Block {
        lines: usize,
    },
    Lines,
}

/// Which of the process's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

// === impl Terminal ===

impl Terminal {
    /// A terminal on one of this process's streams, if it is one; lines otherwise.
    pub fn of(stream: Stream) -> Self {
        let (is_terminal, out): (bool, Box<dyn Write + Send>) = match stream {
            Stream::Out => (io::stdout().is_terminal(), Box::new(io::stdout())),
            Stream::Err => (io::stderr().is_terminal(), Box::new(io::stderr())),
        };
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colourless = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let form = if is_terminal && !dumb {
            Form::Block { lines: 0 }
        } else {
            Form::Lines
        };
        let paint = if is_terminal && !colourless {
            Paint::Colour
        } else {
            Paint::Plain
        };
        Self {
            out,
            form,
            paint,
            shown: View::default(),
        }
    }

    /// Whether colours may be used.
    pub fn paint(&self) -> Paint {
        self.paint
    }

    /// Shows `view` if it is time to. A terminal that is gone stops nothing.
    pub fn show(&mut self, view: View) {
        let since = view.elapsed.saturating_sub(self.shown.elapsed);
        let shown = match self.form {
            Form::Block { lines } => lines == 0 || since >= REDRAW_EVERY,
            Form::Lines => {
                let changes = view.changes(&self.shown);
                let due = view.moved(&self.shown) || since >= LINE_EVERY;
                let line = due.then(|| view.line());
                let all: Vec<_> = line.into_iter().chain(changes).collect();
                let _ = all.iter().try_for_each(|line| writeln!(self.out, "{line}"));
                // What has been told must not be told again; the time of the last line stays.
                let elapsed = if due {
                    view.elapsed
                } else {
                    self.shown.elapsed
                };
                self.shown = View { elapsed, ..view };
                return;
            }
        };
        if shown {
            let _ = self.redraw(&view);
            self.shown = view;
        }
    }

    /// Writes lines below all that was shown.
    pub fn say(&mut self, lines: &[String]) {
        if let Form::Block { lines } = &mut self.form {
            *lines = 0;
        }
        let _ = lines
            .iter()
            .try_for_each(|line| writeln!(self.out, "{line}"));
        let _ = self.out.flush();
    }

    fn redraw(&mut self, view: &View) -> io::Result<()> {
        let block = view.block(self.paint);
        let Form::Block { lines } = &mut self.form else {
            return Ok(());
        };
        if *lines > 0 {
            // Up to the first line of what was drawn.
            write!(self.out, "\x1b[{lines}A")?;
        }
        for line in &block {
            writeln!(self.out, "\r{line}\x1b[K")?;
        }
        // A shorter block leaves nothing of a longer one behind.
        write!(self.out, "\x1b[J")?;
        *lines = block.len();
        self.out.flush()
    }
}
