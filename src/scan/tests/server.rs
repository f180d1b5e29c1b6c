//! A server that says what it is told, over real HTTP/1.1, one connection a request.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::FROM_MS;

/// What it makes of a request.
pub(super) type Answer = Box<dyn FnMut(&Asked) -> Reply + Send>;

/// A request as it came.
#[derive(Clone)]
pub(super) struct Asked {
    /// The request line and the headers.
    pub(super) head: String,
    pub(super) text: String,
    pub(super) body: Value,
}

impl Asked {
    /// The bounds on the clock: milliseconds after the slice's start, both inclusive.
    pub(super) fn bounds(&self) -> (i64, i64) {
        let bound = |name| self.body["filters"]["created"][name].as_i64().unwrap() - FROM_MS;
        (bound("gte"), bound("lte"))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// An answer.
pub(super) struct Reply {
    status: u16,
    headers: String,
    body: Vec<u8>,
    /// How much of the body is sent before the connection ends.
    cut: Option<usize>,
    /// Whether the connection ends without any answer.
    close: bool,
    /// Whether there never is an answer.
    stall: bool,
    /// Pieces of the body, and the real time between two of them.
    slow: Option<(usize, Duration)>,
}

impl Reply {
    /// An answer without a body.
    pub(super) fn status(status: u16) -> Self {
        Self {
            status,
            headers: "Date: Thu, 19 Nov 2026 12:00:00 GMT\r\n".to_owned(),
            body: Vec::new(),
            cut: None,
            close: false,
            stall: false,
            slow: None,
        }
    }

    pub(super) fn page(envelope: &Value) -> Self {
        Self::status(200).json(&envelope.to_string())
    }

    pub(super) fn json(self, text: &str) -> Self {
        self.header("Content-Type", "application/json").bytes(text)
    }

    pub(super) fn bytes(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_owned();
        self
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        for piece in [name, ": ", value, "\r\n"] {
            self.headers.push_str(piece);
        }
        self
    }

    pub(super) fn without_date(mut self) -> Self {
        self.headers.clear();
        self
    }

    /// The same, ended by the connection after so many bytes of the body.
    pub(super) fn cut(mut self, after: usize) -> Self {
        self.cut = Some(after);
        self
    }

    /// The connection ends without a word.
    pub(super) fn close() -> Self {
        let mut reply = Self::status(200);
        reply.close = true;
        reply
    }

    /// The connection stays, and nothing comes.
    pub(super) fn stall() -> Self {
        let mut reply = Self::status(200);
        reply.stall = true;
        reply
    }

    /// The same, in pieces of so many bytes with a pause after each.
    pub(super) fn slow(mut self, piece: usize, pause: Duration) -> Self {
        self.slow = Some((piece, pause));
        self
    }

    /// The same, compressed.
    pub(super) fn gzip(mut self) -> Self {
        self.body = gzip(&self.body);
        self.header("Content-Encoding", "gzip")
    }
}

pub(super) struct Server {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(super) async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let log = Arc::clone(&asked);
        let answer = Arc::new(Mutex::new(answer));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                // A client that goes away is no failure of a test.
                tokio::spawn(async move { serve(stream, &log, &answer).await.ok() });
            }
        });
        Self { url, asked, task }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Ends the server; returns when nobody listens any more.
    pub(super) async fn stop(&self) {
        self.task.abort();
        while !self.task.is_finished() {
            tokio::task::yield_now().await;
        }
    }

    /// All requests so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    log: &Mutex<Vec<Asked>>,
    answer: &Mutex<Answer>,
) -> io::Result<()> {
    let mut raw = Vec::new();
    let asked = loop {
        if stream.read_buf(&mut raw).await? == 0 {
            return Ok(());
        }
        if let Some(asked) = whole(&raw) {
            break asked;
        }
    };
    log.lock().unwrap().push(asked.clone());
    let reply = (answer.lock().unwrap())(&asked);
    if reply.stall {
        std::future::pending::<()>().await;
    }
    if reply.close {
        return Ok(());
    }
    let head = format!(
        "HTTP/1.1 {} Said\r\nConnection: close\r\nContent-Length: {}\r\n{}\r\n",
        reply.status,
        reply.body.len(),
        reply.headers
    );
    stream.write_all(head.as_bytes()).await?;
    let sent = reply.cut.unwrap_or(reply.body.len());
    let (piece, pause) = reply.slow.unwrap_or((usize::MAX, Duration::ZERO));
    for piece in reply.body[..sent].chunks(piece) {
        stream.write_all(piece).await?;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    stream.shutdown().await
}

/// The request, once all of it has come.
fn whole(raw: &[u8]) -> Option<Asked> {
    let text = str::from_utf8(raw).ok()?;
    let (head, text) = text.split_once("\r\n\r\n")?;
    let mut asked = Asked {
        head: head.to_owned(),
        text: text.to_owned(),
        body: Value::Null,
    };
    let length: usize = asked.header("content-length")?.parse().ok()?;
    if text.len() < length {
        return None;
    }
    asked.body = serde_json::from_str(text).unwrap();
    Some(asked)
}

/// A gzip stream of stored blocks: nothing is saved, and no compressor is needed.
pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let pieces: Vec<&[u8]> = bytes.chunks(60_000).collect();
    for (index, piece) in pieces.iter().enumerate() {
        let length = u16::try_from(piece.len()).unwrap();
        stream.push(u8::from(index + 1 == pieces.len()));
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(*piece);
    }
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    stream.extend((!crc).to_le_bytes());
    stream.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
    stream
}
