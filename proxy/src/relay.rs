//! Relay: bodies on their way through, as streams with back-pressure.
//!
//! A body is never held as a whole. The next piece is read from one side when the other asks for it.
//! The one exception is the tape: what was sent of a small request body is remembered, so that an
//! idempotent request can be sent again. An upstream body that breaks off breaks off for the client
//! too; it is never ended cleanly.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::request::exchange::Exchange;

/// The most that is remembered of a request body; larger ones are never sent twice.
pub(crate) const TAPE_BYTES: usize = 64 * 1024;

/// A request body on its way to the upstream.
#[derive(Debug)]
pub(crate) enum UpstreamBody {
    Empty,
    Stream(Incoming),
    /// Remembered while it passes.
    Taped(Incoming, SharedTape),
    /// Sent again.
    Replay(VecDeque<Bytes>),
}

/// What has passed of a body so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedTape(Rc<RefCell<Tape>>);

#[derive(Debug, Default)]
struct Tape {
    pieces: VecDeque<Bytes>,
    bytes: usize,
    complete: bool,
    overflowed: bool,
}

/// A response body on its way to the client.
#[derive(Debug)]
pub(crate) enum ResponseBody {
    /// Made by the proxy.
    Own(Option<Bytes>, Box<Exchange>),
    /// The upstream's; the exchange is observed when it ends.
    Relayed(Incoming, Box<Exchange>),
}

// === impl UpstreamBody ===

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Stream(incoming) => Pin::new(incoming).poll_frame(context),
            Self::Taped(incoming, tape) => {
                let polled = Pin::new(&mut *incoming).poll_frame(context);
                if let Poll::Ready(frame) = &polled {
                    tape.record(frame.as_ref(), incoming.is_end_stream());
                }
                polled
            }
            Self::Replay(pieces) => Poll::Ready(pieces.pop_front().map(|it| Ok(Frame::data(it)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Stream(incoming) | Self::Taped(incoming, _) => incoming.is_end_stream(),
            Self::Replay(pieces) => pieces.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Stream(incoming) | Self::Taped(incoming, _) => incoming.size_hint(),
            Self::Replay(pieces) => {
                SizeHint::with_exact(pieces.iter().map(|piece| piece.len() as u64).sum())
            }
        }
    }
}

// === impl SharedTape ===

impl SharedTape {
    /// The body once more; `None` where it is too large or has not passed completely.
    pub(crate) fn replay(&self) -> Option<UpstreamBody> {
        let tape = self.0.borrow();
        let whole = tape.complete && !tape.overflowed;
        whole.then(|| UpstreamBody::Replay(tape.pieces.clone()))
    }

    fn record(&self, frame: Option<&Result<Frame<Bytes>, hyper::Error>>, is_last: bool) {
        let mut tape = self.0.borrow_mut();
        match frame {
            None => tape.complete = true,
            Some(Err(_)) => tape.overflow(),
            Some(Ok(frame)) => {
                match frame.data_ref() {
                    Some(data) => tape.push(data),
                    // Trailers are rare in requests, and not worth remembering.
                    None => tape.overflow(),
                }
                tape.complete |= is_last;
            }
        }
    }
}

// === impl Tape ===

impl Tape {
    fn push(&mut self, data: &Bytes) {
        self.bytes = self.bytes.saturating_add(data.len());
        if self.bytes > TAPE_BYTES {
            self.overflow();
        } else if !self.overflowed {
            self.pieces.push_back(data.clone());
        }
    }

    fn overflow(&mut self) {
        self.overflowed = true;
        self.pieces = VecDeque::new();
    }
}

// === impl ResponseBody ===

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let (incoming, exchange) = match self.get_mut() {
            Self::Own(bytes, exchange) => {
                exchange.body_complete();
                let bytes = bytes.take().filter(|bytes| !bytes.is_empty());
                return Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))));
            }
            Self::Relayed(incoming, exchange) => (incoming, exchange),
        };
        let polled = Pin::new(&mut *incoming).poll_frame(context);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(None) => exchange.body_complete(),
            Poll::Ready(Some(Err(_))) => exchange.body_broke(),
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    exchange.body_piece(data.len());
                }
                if frame.is_trailers() || incoming.is_end_stream() {
                    exchange.body_complete();
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes, _) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Relayed(incoming, _) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes, _) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Relayed(incoming, _) => incoming.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    /// A body without bytes (HEAD, 204, 304, length 0) is never polled, and complete all the same.
    fn drop(&mut self) {
        let complete = self.is_end_stream();
        let (Self::Own(_, exchange) | Self::Relayed(_, exchange)) = self;
        if complete {
            exchange.body_complete();
        }
    }
}
