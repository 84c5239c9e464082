//! The stock kubectl, where there is one.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// A program that is pointed at a cluster by a kubeconfig.
#[derive(Clone, Debug)]
pub struct Client {
    program: PathBuf,
    kubeconfig: PathBuf,
    cache: PathBuf,
}

/// A command that goes on: what it prints, line by line.
#[derive(Debug)]
pub struct Following {
    /// Ends with us.
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// What a command printed, and whether it succeeded.
#[derive(Clone, Debug)]
pub struct Printed {
    /// Whether it succeeded.
    pub success: bool,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Client {
    /// kubectl, if this machine has it.
    pub fn kubectl(kubeconfig: &Path) -> Option<Self> {
        let path = std::env::var_os("PATH")?;
        let program = std::env::split_paths(&path)
            .map(|dir| dir.join("kubectl"))
            .find(|path| path.is_file())?;
        Some(Self::of(program, kubeconfig))
    }

    /// Any other program that reads KUBECONFIG.
    pub fn of(program: impl Into<PathBuf>, kubeconfig: &Path) -> Self {
        let cache = kubeconfig.with_file_name("kubectl-cache");
        Self {
            program: program.into(),
            kubeconfig: kubeconfig.to_owned(),
            cache,
        }
    }

    /// Runs a command, which must succeed, and gives what it printed.
    ///
    /// # Panics
    ///
    /// When it does not succeed.
    pub async fn run(&self, arguments: &[&str]) -> String {
        let printed = self.try_run(arguments).await;
        assert!(
            printed.success,
            "{} {arguments:?}: {printed:?}",
            self.program.display()
        );
        printed.out
    }

    /// Runs a command.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub async fn try_run(&self, arguments: &[&str]) -> Printed {
        let ran = timeout(PATIENCE, self.command(arguments).output()).await;
        let output = ran.expect("an end").expect("a program that starts");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Printed {
            success: output.status.success(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// Starts a command that goes on.
    pub fn follow(&self, arguments: &[&str]) -> Following {
        let mut child = self
            .command(arguments)
            .spawn()
            .expect("a program that starts");
        let out = child.stdout.take().expect("piped");
        Following {
            _child: child,
            lines: BufReader::new(out).lines(),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            // Its discovery cache is by address, and a port may have been another cluster's.
            .env("KUBECACHEDIR", &self.cache)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

impl Following {
    /// Waits for a line that is so.
    ///
    /// # Panics
    ///
    /// When there is none in time.
    pub async fn until(&mut self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let mut seen = Vec::new();
        let found = async {
            while let Some(line) = self.lines.next_line().await.expect("lines of text") {
                if is_so(&line) {
                    return Some(line);
                }
                seen.push(line);
            }
            None
        };
        let found = timeout(PATIENCE, found).await.ok().flatten();
        found.unwrap_or_else(|| panic!("{what}: not among {seen:#?}"))
    }
}
