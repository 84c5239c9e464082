//! `watch`: a stream of JSON lines, one for each change that an interest sees, from a revision on.
//!
//! The stream owns everything it needs and is polled by the connection that reads it: there is no
//! task. A watcher that reads too slowly loses its queue, which ends the stream.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, stream};
use http::{HeaderValue, Response, header};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::answer::{self, Answer, Form};
use super::kinds::Kind;
use super::list;
use super::refuse::{self, Cause, Refusal};
use super::request::Request;
use super::route::Target;
use super::server::ApiServer;
use super::store::{Action, Change, Interest};
use super::table;

/// How often a watcher that allows it hears the present revision.
const BOOKMARK_EVERY: Duration = Duration::from_mins(1);

/// A watch that asks for no end gets one, so that no dead client holds a queue for ever.
const LONGEST: Duration = Duration::from_hours(1);

/// A running watch.
struct Watch {
    server: Arc<ApiServer>,
    kind: Arc<Kind>,
    interest: Interest,
    form: Form,
    options: table::Options,
    first_row: bool,
    /// Lines to send before anything new.
    ready: VecDeque<Bytes>,
    changes: mpsc::Receiver<Arc<Change>>,
    bookmarks: bool,
    /// The revision of the last line.
    at: u64,
    next_bookmark: tokio::time::Interval,
    end: std::pin::Pin<Box<tokio::time::Sleep>>,
}

/// Answers `GET ?watch=true` of a collection.
pub(super) fn watch(
    server: &Arc<ApiServer>,
    request: &Request,
    target: &Target,
) -> Result<Answer, Refusal> {
    let form = Form::accepted(&request.accept)?;
    let interest = list::interest(request, target)?;
    let timeout = request
        .query
        .number("timeoutSeconds")?
        .filter(|seconds| *seconds > 0);
    let timeout = timeout.map_or(LONGEST, |seconds| Duration::from_secs(seconds).min(LONGEST));
    let mut state = server.state();
    let start = Start::of(request, state.revision())?;
    if let Start::After(revision) = start
        && (revision < state.oldest() || revision > state.revision())
    {
        let refusal = refuse::expired(revision, state.oldest());
        return Ok(respond(stream::iter([Ok(error_line(&refusal))])));
    }
    let after = if let Start::After(revision) = start {
        revision
    } else {
        state.revision()
    };
    let (missed, changes) = state.subscribe(interest.clone(), after);
    let first = if let Start::After(_) = start {
        Vec::new()
    } else {
        list::wanted(&state, &interest)
    };
    let at = state.revision();
    drop(state);
    let mut watch = Watch {
        server: server.clone(),
        kind: target.kind.clone(),
        interest,
        form,
        options: table::Options::of(request),
        first_row: true,
        ready: VecDeque::new(),
        changes,
        bookmarks: request.query.flag("allowWatchBookmarks"),
        at,
        next_bookmark: tokio::time::interval(BOOKMARK_EVERY),
        end: Box::pin(tokio::time::sleep(timeout)),
    };
    watch.next_bookmark.reset();
    watch.begin(&first, missed, start == Start::WithInitialEvents);
    Ok(respond(watch.lines()))
}

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// With everything there is, as additions.
    Everything,
    /// The same, and a bookmark that says when that is over.
    WithInitialEvents,
    /// With what changed after a revision.
    After(u64),
}

impl Start {
    fn of(request: &Request, current: u64) -> Result<Self, Refusal> {
        let query = &request.query;
        let matching = query.get("resourceVersionMatch").unwrap_or_default();
        let initial = query.get("sendInitialEvents").unwrap_or_default();
        let field = "resourceVersionMatch";
        let mut causes = Vec::new();
        if initial.is_empty() && !matching.is_empty() {
            let why =
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            causes.push(Cause::forbidden(field, why));
        } else if !initial.is_empty() && matching != "NotOlderThan" {
            let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            causes.push(Cause::forbidden(field, why));
            if !matching.is_empty() {
                causes.push(Cause::unsupported(
                    field,
                    &json!(matching),
                    "\"NotOlderThan\"",
                ));
            }
        }
        if !causes.is_empty() {
            return Err(refuse::invalid_options_all(&request.method, causes));
        }
        let revision = list::revision_in(request).map_err(|why| refuse::plain(&why))?;
        let revision = revision.filter(|revision| *revision > 0);
        if query.flag("sendInitialEvents") {
            return Ok(Self::WithInitialEvents);
        }
        if !initial.is_empty() {
            return Ok(Self::After(revision.unwrap_or(current)));
        }
        Ok(revision.map_or(Self::Everything, Self::After))
    }
}

impl Watch {
    fn begin(&mut self, first: &[Arc<Value>], missed: VecDeque<Arc<Change>>, announce_end: bool) {
        for object in first {
            let line = self.line(Action::Added, object);
            self.ready.push_back(line);
        }
        for change in missed {
            if let Some((action, object)) = self.interest.view(&change) {
                let line = self.line(action, &object);
                self.ready.push_back(line);
            }
        }
        if announce_end && self.bookmarks {
            let annotations = json!({"k8s.io/initial-events-end": "true"});
            let line = self.bookmark(&annotations);
            self.ready.push_back(line);
        }
    }

    fn lines(self) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
        stream::unfold(self, |mut watch| async move {
            let line = watch.next().await?;
            Some((Ok(line), watch))
        })
    }

    /// The next line. Nothing when the time is up or the queue was lost.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            tokio::select! {
                biased; // What happened before the end is told before the end.
                change = self.changes.recv() => self.hear(change?.as_ref()),
                () = &mut self.end => return None,
                _ = self.next_bookmark.tick(), if self.bookmarks => self.mark(),
            }
        }
    }

    fn hear(&mut self, change: &Change) {
        self.at = change.revision;
        if let Some((action, object)) = self.interest.view(change) {
            let line = self.line(action, &object);
            self.ready.push_back(line);
        }
    }

    /// Says how far the watch has come. The lock makes sure that nothing older is still queued.
    fn mark(&mut self) {
        let state = self.server.state();
        if self.changes.is_empty() {
            self.at = state.revision();
        }
        drop(state);
        let line = self.bookmark(&Value::Null);
        self.ready.push_back(line);
    }

    fn bookmark(&self, annotations: &Value) -> Bytes {
        let mut metadata =
            json!({"resourceVersion": self.at.to_string(), "creationTimestamp": null});
        if !annotations.is_null() {
            metadata["annotations"] = annotations.clone();
        }
        let (kind, version) = match self.form {
            Form::Plain => (self.kind.kind.clone(), self.kind.api_version()),
            Form::Metadata => (
                "PartialObjectMetadata".to_owned(),
                "meta.k8s.io/v1".to_owned(),
            ),
            Form::Table => ("Table".to_owned(), "meta.k8s.io/v1".to_owned()),
        };
        let object = json!({"kind": kind, "apiVersion": version, "metadata": metadata});
        event_line("BOOKMARK", &object)
    }

    fn line(&mut self, action: Action, object: &Arc<Value>) -> Bytes {
        let word = match action {
            Action::Added => "ADDED",
            Action::Modified => "MODIFIED",
            Action::Deleted => "DELETED",
        };
        match self.form {
            Form::Plain => event_line(word, &answer::present(&self.kind, object)),
            Form::Metadata => event_line(word, &answer::metadata_only(object)),
            Form::Table => {
                self.options.now = self.server.now();
                let mut table =
                    table::of_objects(&self.kind, std::slice::from_ref(object), &self.options);
                if !std::mem::take(&mut self.first_row) {
                    // kubectl keeps the columns of the first row.
                    table["columnDefinitions"] = Value::Array(Vec::new());
                }
                event_line(word, &table)
            }
        }
    }
}

fn event_line(word: &str, object: &Value) -> Bytes {
    Bytes::from(format!("{{\"type\":\"{word}\",\"object\":{object}}}\n"))
}

fn error_line(refusal: &Refusal) -> Bytes {
    event_line("ERROR", &answer::status_object(refusal))
}

fn respond<S>(lines: S) -> Answer
where
    S: Stream<Item = std::io::Result<Bytes>> + Send + 'static,
{
    let mut response = Response::new(answer::streaming(lines));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}
