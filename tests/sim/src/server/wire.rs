//! Puts answers on the wire, whole or broken.

use std::collections::VecDeque;
use std::future::Future;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use chrono::DateTime;
use flate2::Compression as Level;
use flate2::write::GzEncoder;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE};
use hyper::http::HeaderMap;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::answer::{Answer, Compression, Delivery};
use super::handle::{Received, handle};
use super::state::State;

/// Why a connection ends without an answer.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("end the connection without an answer")]
    OnPurpose,
    #[error("read the request")]
    Request(#[from] hyper::Error),
    #[error("build the answer")]
    Answer(#[from] hyper::http::Error),
    #[error("compress the answer")]
    Compress(#[from] std::io::Error),
}

/// Serves one connection until either side ends it.
pub(crate) async fn serve(stream: TcpStream, state: Arc<State>) {
    let reset = Arc::new(AtomicBool::new(false));
    let asked_to_reset = Arc::clone(&reset);
    let service = service_fn(move |request| {
        Box::pin(respond(
            request,
            Arc::clone(&state),
            Arc::clone(&asked_to_reset),
        ))
    });
    let mut connection = http1::Builder::new()
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service);
    let ended = std::future::poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let stream = connection.into_parts().io.into_inner();
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
    if reset.load(Ordering::Relaxed) {
        // Closing now drops what is unsent and tells the other side so.
        if let Err(error) = stream.set_zero_linger() {
            tracing::debug!(%error, "cannot reset the connection");
        }
    }
}

async fn respond(
    request: Request<Incoming>,
    state: Arc<State>,
    reset: Arc<AtomicBool>,
) -> Result<Response<WireBody>, Broken> {
    let (head, body) = request.into_parts();
    let received = Received {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().map(str::to_owned),
        headers: head.headers.clone(),
        body: body.collect().await?.to_bytes().to_vec(),
    };
    let answer = handle(&state, &received);
    match answer.delivery {
        Delivery::Stall => std::future::pending().await,
        Delivery::Close => return Err(Broken::OnPurpose),
        Delivery::Reset => {
            reset.store(true, Ordering::Relaxed);
            return Err(Broken::OnPurpose);
        }
        Delivery::Whole | Delivery::Cut { .. } | Delivery::Slow { .. } => {}
    }
    let accepts_gzip =
        text(&head.headers, ACCEPT_ENCODING).is_some_and(|names| names.contains("gzip"));
    response(answer, state.options.gzip && accepts_gzip)
}

fn response(answer: Answer, gzip: bool) -> Result<Response<WireBody>, Broken> {
    let mut builder = Response::builder()
        .status(answer.status)
        .header(CONTENT_TYPE, answer.content_type);
    for (name, value) in answer.headers {
        builder = builder.header(name, value);
    }
    if let Some(date) = answer.date_ms.and_then(DateTime::from_timestamp_millis) {
        builder = builder.header(DATE, date.format("%a, %d %b %Y %H:%M:%S GMT").to_string());
    }
    let body = if gzip || answer.compression == Compression::Forced {
        builder = builder.header(CONTENT_ENCODING, "gzip");
        compressed(&answer.body, answer.blanks)?
    } else {
        padded(answer.body, answer.blanks)
    };
    builder = builder.header(CONTENT_LENGTH, body.len());
    Ok(builder.body(WireBody::new(body, answer.delivery))?)
}

/// `body` with blanks before its last byte, where they change nothing for a reader of JSON.
fn padded(mut body: Vec<u8>, blanks: usize) -> Vec<u8> {
    if blanks > 0
        && let Some(last) = body.pop()
    {
        body.resize(body.len() + blanks, b' ');
        body.push(last);
    }
    body
}

/// The same, compressed without ever holding the blanks.
fn compressed(body: &[u8], blanks: usize) -> std::io::Result<Vec<u8>> {
    static PIECE: [u8; 64 * 1024] = [b' '; 64 * 1024];
    let mut encoder = GzEncoder::new(Vec::new(), Level::fast());
    let (start, end) = body.split_at(body.len().saturating_sub(1));
    encoder.write_all(start)?;
    let mut left = blanks;
    while left > 0 {
        let piece = left.min(PIECE.len());
        encoder.write_all(&PIECE[..piece])?;
        left -= piece;
    }
    encoder.write_all(end)?;
    encoder.finish()
}

fn text(headers: &HeaderMap, name: hyper::header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// A body that arrives whole, in slow pieces, or not to its end.
#[derive(Debug)]
struct WireBody {
    pieces: VecDeque<Bytes>,
    /// After the last piece the connection ends.
    broken: bool,
    pause: Option<std::time::Duration>,
    waiting: Option<Pin<Box<tokio::time::Sleep>>>,
    /// Set after a turn was given up so that what is written so far goes out.
    flushed: bool,
}

impl WireBody {
    fn new(body: Vec<u8>, delivery: Delivery) -> Self {
        let body = Bytes::from(body);
        let (pieces, broken, pause) = match delivery {
            Delivery::Cut { after } => {
                let sent = body.slice(..after.min(body.len().saturating_sub(1)));
                (vec![sent], true, None)
            }
            Delivery::Slow { piece, pause } => {
                let starts = (0..body.len()).step_by(piece.max(1));
                let slices = starts.map(|at| body.slice(at..body.len().min(at + piece.max(1))));
                (slices.collect(), false, Some(pause))
            }
            _ => (vec![body], false, None),
        };
        Self {
            pieces: pieces
                .into_iter()
                .filter(|piece| !piece.is_empty())
                .collect(),
            broken,
            pause,
            waiting: None,
            flushed: false,
        }
    }
}

impl Body for WireBody {
    type Data = Bytes;
    type Error = BodyEnds;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyEnds>>> {
        if let Some(waiting) = &mut self.waiting {
            std::task::ready!(waiting.as_mut().poll(context));
            self.waiting = None;
        }
        if let Some(piece) = self.pieces.pop_front() {
            if let Some(pause) = self.pause {
                #[expect(clippy::disallowed_methods, reason = "a slow network takes real time")]
                let sleep = tokio::time::sleep(pause);
                self.waiting = Some(Box::pin(sleep));
            }
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if !self.broken {
            return Poll::Ready(None);
        }
        if !self.flushed {
            self.flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(BodyEnds)))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && !self.broken
    }

    fn size_hint(&self) -> SizeHint {
        // Nothing is promised here: `Content-Length` says what it says.
        SizeHint::default()
    }
}

/// The body ends before its announced length.
#[derive(Debug, thiserror::Error)]
#[error("end the body early")]
struct BodyEnds;
