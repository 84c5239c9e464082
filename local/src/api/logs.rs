//! Where pod logs come from. The server holds no logs: the kubelet that runs the pods registers a
//! [`LogSource`], and the `pods/log` subresource streams what that opens.

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use http::{HeaderValue, Response, header};
use kube::core::Status;

use super::answer::{self, Answer};
use super::refuse::{self, Refusal};
use super::request::Request;
use super::server::ApiServer;

/// What a reader of a log asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Keep the stream open and send what is written later.
    pub follow: bool,
    /// Only this many lines before the end.
    pub tail_lines: Option<u64>,
    /// The container's run before the present one.
    pub previous: bool,
    /// Put the time in front of each line.
    pub timestamps: bool,
    /// Only lines written in the last so many seconds.
    pub since_seconds: Option<u64>,
    /// At most so many bytes.
    pub limit_bytes: Option<u64>,
}

/// The bytes of a log, as they come.
pub type LogStream = BoxStream<'static, std::io::Result<Bytes>>;

/// Opens the log of a container: implemented by whatever runs the pods.
pub trait LogSource: Send + Sync + 'static {
    /// Opens one log. Without a container name it is the pod's only container, or a refusal with
    /// code 400 that lists the names. An unknown pod or container is refused with 404 or 400.
    fn open(
        &self,
        namespace: &str,
        pod: &str,
        container: Option<&str>,
        options: LogOptions,
    ) -> BoxFuture<'static, Result<LogStream, Box<Status>>>;
}

/// Answers `GET pods/{name}/log`.
pub(super) async fn read(
    server: &ApiServer,
    request: &Request,
    namespace: &str,
    pod: &str,
) -> Result<Answer, Refusal> {
    let options = options(request)?;
    let source = server
        .log_source()
        .ok_or_else(|| refuse::not_done("no kubelet has registered its logs with this server"))?;
    let container = request
        .query
        .get("container")
        .filter(|name| !name.is_empty());
    let stream = source.open(namespace, pod, container, options).await?;
    let mut response = Response::new(answer::streaming(stream));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    Ok(response)
}

fn options(request: &Request) -> Result<LogOptions, Refusal> {
    let query = &request.query;
    if query.get("sinceTime").is_some() {
        return Err(refuse::not_done(
            "sinceTime of a pod's log is not built; use sinceSeconds",
        ));
    }
    Ok(LogOptions {
        follow: query.flag("follow"),
        tail_lines: query.number("tailLines")?,
        previous: query.flag("previous"),
        timestamps: query.flag("timestamps"),
        since_seconds: query.number("sinceSeconds")?,
        limit_bytes: query.number("limitBytes")?,
    })
}
