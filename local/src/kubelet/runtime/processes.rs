//! Containers as local processes, each under a supervisor so that none outlives us.
//!
//! A container runs its own `command` and `args`, or what `--image` gives for its image; no shell
//! is added. There is no image, no mount and no namespace: what a manifest asks for beyond a
//! process with an environment and a directory is refused.

use std::{
    collections::BTreeMap, net::Ipv4Addr, path::PathBuf, process::Stdio, sync::Arc, time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::{Client, ResourceExt as _};
use tokio::task::JoinSet;

use super::{Exec, Exit, Happening, Process, Runtime, Start, StartError};
use crate::kubelet::{
    environment::{self, Place},
    expand::expand_from,
    images::ImageCommands,
    logs::{Log, Logs},
    refuse::refusal,
    supervisor::{CANNOT_START, Child, Job, Shim},
};

/// How long the last lines of an ended process are waited for.
const LAST_LINES: Duration = Duration::from_secs(1);
/// How much of an exec probe's output is shown when it fails.
const SHOWN_OUTPUT: usize = 1024;

/// What processes need to know about this machine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How to start a supervisor.
    pub shim: Shim,
    /// Commands for images that have none in the manifest.
    pub images: ImageCommands,
    /// The environment that PATH, HOME and LANG are taken from.
    pub caller: BTreeMap<String, String>,
    /// The node's address.
    pub host_ip: Ipv4Addr,
}

/// Runs containers as processes.
pub struct Processes {
    client: Client,
    settings: Settings,
    logs: Arc<Logs>,
}

impl Processes {
    /// `client` reads the ConfigMaps and Secrets that containers refer to.
    pub fn new(client: Client, settings: Settings, logs: Arc<Logs>) -> Self {
        Self {
            client,
            settings,
            logs,
        }
    }

    async fn begin(&self, start: Start) -> Result<Box<dyn Process>, StartError> {
        let job = self.job(&start).await?;
        let mut command = self.settings.shim.command(&job);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let cannot = |error: std::io::Error| StartError {
            reason: "RunContainerError",
            message: format!("cannot start {:?}: {error}", job.argv),
        };
        let log = self
            .logs
            .start(&start.pod, &start.container.name, start.attempt);
        let log = log.map_err(cannot)?;
        let mut child = Child::spawn(command).map_err(cannot)?;
        let mut pumps = JoinSet::new();
        if let Some(out) = child.take_stdout() {
            let log = Arc::clone(&log);
            pumps.spawn(async move { log.pump(out, "stdout").await });
        }
        if let Some(out) = child.take_stderr() {
            let log = Arc::clone(&log);
            pumps.spawn(async move { log.pump(out, "stderr").await });
        }
        let shim = self.settings.shim.clone();
        Ok(Box::new(Running {
            child,
            job: Arc::new(job),
            shim,
            log,
            pumps,
            announced: false,
        }))
    }

    async fn job(&self, start: &Start) -> Result<Job, StartError> {
        let config_error = |error: environment::EnvError| StartError {
            reason: "CreateContainerConfigError",
            message: error.to_string(),
        };
        let container = &*start.container;
        let namespace = start.pod.namespace().unwrap_or_default();
        let sources = environment::load(&self.client, &namespace, container).await;
        let sources = sources.map_err(config_error)?;
        let place = Place {
            pod_ip: start.pod_ip.to_string(),
            host_ip: self.settings.host_ip.to_string(),
        };
        let env = environment::resolve(&start.pod, container, &sources, &place);
        let env = env.map_err(config_error)?;
        let argv = argv(container, &self.settings.images, &env)?;
        let env = environment::with_inherited(env, &self.settings.caller);
        let cwd = container.working_dir.as_ref().filter(|dir| !dir.is_empty());
        Ok(Job {
            argv,
            env: env.into_iter().collect(),
            cwd: cwd.map(PathBuf::from),
        })
    }
}

impl Runtime for Processes {
    fn refuse(&self, pod: &Pod) -> Option<String> {
        refusal(pod)
    }

    fn probes(&self) -> bool {
        true
    }

    fn selectors(&self) -> bool {
        false
    }

    fn start(&self, start: Start) -> BoxFuture<'_, Result<Box<dyn Process>, StartError>> {
        self.begin(start).boxed()
    }

    fn forget(&self, pod: &Pod) {
        self.logs.forget(pod);
    }
}

/// The command line of a container, as Kubernetes puts it together: `command` replaces the image's
/// entry point, `args` follow either.
fn argv(
    container: &Container,
    images: &ImageCommands,
    env: &BTreeMap<String, String>,
) -> Result<Vec<String>, StartError> {
    let image = container.image.as_deref().unwrap_or_default();
    let own = container
        .command
        .as_deref()
        .filter(|command| !command.is_empty());
    let command = own.or_else(|| images.of(image)).ok_or_else(|| StartError {
        reason: "ErrNoCommand",
        message: format!(
            "container {:?} has no command, and there is no image {image:?} to take one from: \
             give it a command in the manifest or with --image {image}=COMMAND",
            container.name,
        ),
    })?;
    let args = container.args.iter().flatten();
    Ok(command
        .iter()
        .chain(args)
        .map(|word| expand_from(word, env))
        .collect())
}

struct Running {
    child: Child,
    job: Arc<Job>,
    shim: Shim,
    log: Arc<Log>,
    pumps: JoinSet<()>,
    announced: bool,
}

impl Running {
    async fn happen(&mut self) -> Happening {
        if !self.announced {
            // Nothing but probes knows whether a process is ready.
            self.announced = true;
            return Happening::Ready(true);
        }
        let code = self.child.wait().await;
        let last_lines = async { while self.pumps.join_next().await.is_some() {} };
        // Everything that could hold the pipes open is dead.
        let _ = tokio::time::timeout(LAST_LINES, last_lines).await;
        self.log.end();
        Happening::Exited(match code {
            Ok(code) if code == i32::from(CANNOT_START) => Exit {
                code,
                message: Some(format!("{:?} may not exist: see the log", self.job.argv)),
            },
            Ok(code) => Exit {
                code,
                message: None,
            },
            Err(error) => Exit {
                code: -1,
                message: Some(format!("cannot wait: {error}")),
            },
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.log.end();
    }
}

impl Process for Running {
    fn id(&self) -> String {
        format!("process://{}", self.child.pid())
    }

    fn next(&mut self) -> BoxFuture<'_, Happening> {
        self.happen().boxed()
    }

    fn terminate(&mut self) -> BoxFuture<'_, ()> {
        self.child.terminate().boxed()
    }

    fn kill(&mut self) -> BoxFuture<'_, ()> {
        self.child.kill().boxed()
    }

    fn exec(&self) -> Exec {
        let (job, shim) = (Arc::clone(&self.job), self.shim.clone());
        Arc::new(move |argv, limit| {
            let job = Job {
                argv,
                ..(*job).clone()
            };
            exec(shim.clone(), job, limit).boxed()
        })
    }
}

/// Runs a command to its end, under a supervisor of its own.
async fn exec(shim: Shim, job: Job, limit: Duration) -> Result<(), String> {
    use tokio::io::AsyncReadExt as _;
    let mut command = shim.command(&job);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = Child::spawn(command).map_err(|error| format!("cannot start: {error}"))?;
    let mut said = Vec::new();
    let run = async {
        if let Some(mut out) = child.take_stderr() {
            // Only the beginning is kept, but all of it is read: a full pipe would stop the command.
            let _ = (&mut out)
                .take(SHOWN_OUTPUT as u64)
                .read_to_end(&mut said)
                .await;
            let _ = tokio::io::copy(&mut out, &mut tokio::io::sink()).await;
        }
        child.wait().await
    };
    // Dropping the child ends it.
    match tokio::time::timeout(limit, run).await {
        Ok(Ok(0)) => Ok(()),
        Ok(Ok(code)) => Err(format!(
            "exit code {code}: {}",
            String::from_utf8_lossy(&said).trim_end()
        )),
        Ok(Err(error)) => Err(format!("cannot wait: {error}")),
        Err(_) => Err(format!("command timed out after {limit:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_the_manifests_or_the_images() {
        let mut images = ImageCommands::default();
        images.add("app=./app --serve").unwrap();
        let env = BTreeMap::from([("PORT".to_owned(), "80".to_owned())]);
        let words =
            |list: &[&str]| -> Vec<String> { list.iter().map(ToString::to_string).collect() };
        type Words = &'static [&'static str];
        let table: [(&str, Words, Words, Words); 4] = [
            ("app:1", &[], &[], &["./app", "--serve"]),
            (
                "app:1",
                &[],
                &["-p", "$(PORT)"],
                &["./app", "--serve", "-p", "80"],
            ),
            ("app:1", &["own"], &["x"], &["own", "x"]),
            ("other", &["own", "$(NO)"], &[], &["own", "$(NO)"]),
        ];
        for (image, command, args, expected) in table {
            let container = Container {
                image: Some(image.to_owned()),
                command: Some(words(command)),
                args: Some(words(args)),
                ..Container::default()
            };
            assert_eq!(
                argv(&container, &images, &env),
                Ok(words(expected)),
                "{image} {command:?}"
            );
        }
        let image = Some("nginx:1".to_owned());
        let none = Container {
            name: "web".into(),
            image,
            ..Container::default()
        };
        let error = argv(&none, &images, &env).unwrap_err();
        assert_eq!(error.reason, "ErrNoCommand");
        assert!(
            error.message.contains("--image nginx:1=COMMAND"),
            "{}",
            error.message
        );
    }
}
