//! The API server's view of the logs: `GET pods/NAME/log`.

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use kube::core::Status;

use super::{Logs, Reader};
use crate::api::{LogOptions, LogSource, LogStream};

impl LogSource for Logs {
    fn open(
        &self,
        namespace: &str,
        pod: &str,
        container: Option<&str>,
        options: LogOptions,
    ) -> BoxFuture<'static, Result<LogStream, Box<Status>>> {
        std::future::ready(opened(self, (namespace, pod), container, options)).boxed()
    }
}

fn opened(
    logs: &Logs,
    place: (&str, &str),
    container: Option<&str>,
    options: LogOptions,
) -> Result<LogStream, Box<Status>> {
    let pod = place.1;
    let known = logs.containers(place.0, pod);
    let container = match (container, known.as_slice()) {
        (Some(name), _) => name,
        (None, [only]) => only,
        (None, []) => {
            return Err(refused(&format!(
                "no container of pod {pod} has started yet"
            )));
        }
        (None, several) => {
            let several = several.join(" ");
            let message = format!(
                "a container name must be specified for pod {pod}, choose one of: [{several}]"
            );
            return Err(refused(&message));
        }
    };
    let log = logs
        .find(place, container, options.previous)
        .ok_or_else(|| {
            let run = if options.previous {
                "previous terminated container"
            } else {
                "container"
            };
            refused(&format!(
                "{run} {container:?} in pod {pod:?} not found: it has not run yet"
            ))
        })?;
    let reader = Reader::open(log, options)
        .map_err(|error| refused(&format!("cannot read the log of {container:?}: {error}")))?;
    Ok(reader.into_stream().boxed())
}

fn refused(message: &str) -> Box<Status> {
    const BAD_REQUEST: u16 = 400;
    Box::new(Status::failure(message, "BadRequest").with_code(BAD_REQUEST))
}
