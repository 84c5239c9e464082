//! The hidden parts of the program: what it starts itself again as.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use local::kubelet::supervisor::{self, SUPERVISE, Shim};

use crate::demo::app;

/// A part that only the program itself starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Stands beside a process and lets it not outlive us.
    Supervisor,
    /// `sluice-proxy`.
    Proxy,
    /// `sluice-controller`.
    Controller,
    /// The demo's application.
    App,
}

/// Where the program is, for starting it again.
#[derive(Clone, Debug)]
pub struct Exe(PathBuf);

// === impl Part ===

impl Part {
    const ALL: [Self; 4] = [Self::Supervisor, Self::Proxy, Self::Controller, Self::App];

    /// The part that a command line asks for, if it asks for one.
    pub fn of(arguments: &[OsString]) -> Option<Self> {
        let first = arguments.get(1)?;
        Self::ALL.into_iter().find(|part| first == part.word())
    }

    /// The first argument that asks for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Supervisor => SUPERVISE,
            Self::Proxy => "__proxy",
            Self::Controller => "__controller",
            Self::App => "__app",
        }
    }

    /// Is that part until the end of the process.
    pub fn run(self, arguments: Vec<OsString>) -> ExitCode {
        let rest = arguments.into_iter().skip(2);
        match self {
            Self::Supervisor => supervisor::main(rest),
            Self::Proxy => proxy::run::main_from(named("sluice-proxy", rest)),
            Self::Controller => controller::run::main_from(named("sluice-controller", rest)),
            Self::App => app::main(named("sluice-demo-app", rest)),
        }
    }
}

/// Arguments as a program of its own would see them.
fn named(name: &str, rest: impl Iterator<Item = OsString>) -> Vec<OsString> {
    std::iter::once(OsString::from(name)).chain(rest).collect()
}

// === impl Exe ===

impl Exe {
    /// This very program, also when its file has been replaced by a newer build.
    pub fn current() -> Self {
        Self(PathBuf::from("/proc/self/exe"))
    }

    /// The `sluice` program at `path`, for those who are not it (tests).
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// How to start a supervisor.
    pub fn shim(&self) -> Shim {
        Shim::of(&self.0, [SUPERVISE])
    }

    /// A command line that runs `part`.
    pub fn command(&self, part: Part, arguments: impl IntoIterator<Item = String>) -> Vec<String> {
        let own = [
            self.0.to_string_lossy().into_owned(),
            part.word().to_owned(),
        ];
        own.into_iter().chain(arguments).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_asked_for_by_the_first_argument_only() {
        let words = |list: &[&str]| -> Vec<OsString> { list.iter().map(Into::into).collect() };
        let table: [(&[&str], Option<Part>); 6] = [
            (&["sluice"], None),
            (&["sluice", "up"], None),
            (&["sluice", "up", "__proxy"], None),
            (&["sluice", "__proxy", "up"], Some(Part::Proxy)),
            (
                &["sluice", "__supervise", "--", "x"],
                Some(Part::Supervisor),
            ),
            (&["sluice", "__app"], Some(Part::App)),
        ];
        for (arguments, expected) in table {
            assert_eq!(Part::of(&words(arguments)), expected, "{arguments:?}");
        }
    }

    #[test]
    fn a_command_line_asks_for_its_part() {
        let line = Exe::at("/opt/sluice").command(Part::Controller, ["--x".to_owned()]);
        assert_eq!(line, ["/opt/sluice", "__controller", "--x"]);
    }
}
