//! Between the program and an object store: answers get lost, connections break, the store refuses.
//!
//! One request for each connection, so that a fault meets exactly one of them.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The head of a request.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) method: String,
    /// The path with its query.
    pub(crate) target: String,
    /// Whether the put is to create only.
    pub(crate) creates: bool,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Pass,
    /// The connection breaks before the store hears of it.
    Break,
    /// The store does it, and the connection breaks instead of its answer.
    LoseAnswer,
    /// The same as from a gateway that is killed: a reset tells that nobody is there any more.
    Reset,
    /// The answer's last byte is missing.
    CutAnswer,
    /// The answer's last byte never comes, and the connection stays open.
    Stall,
    /// The store is left alone, and this is the answer: a status and an S3 code.
    Refuse(u16, &'static str),
    /// Nothing happens for a while.
    Hold(Duration),
}

type Plan = Box<dyn FnMut(&Head) -> Action + Send>;

/// A proxy that lives as long as the test process.
pub(crate) struct Proxy {
    address: SocketAddr,
    /// The path of the endpoint, with its slash.
    path: String,
    seen: Arc<Mutex<Vec<(Head, Action)>>>,
}

impl Proxy {
    /// Starts a proxy before an endpoint (`http://host:port`, perhaps with a path).
    pub(crate) fn before(
        endpoint: &str,
        plan: impl FnMut(&Head) -> Action + Send + 'static,
    ) -> Self {
        let upstream = endpoint.trim_start_matches("http://");
        let (upstream, path) = upstream.split_at(upstream.find('/').unwrap_or(upstream.len()));
        let (upstream, path) = (upstream.to_owned(), path.to_owned());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let plan: Arc<Mutex<Plan>> = Arc::new(Mutex::new(Box::new(plan)));
        let seen: Arc<Mutex<Vec<(Head, Action)>>> = Arc::default();
        let log = Arc::clone(&seen);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (plan, log, upstream) = (Arc::clone(&plan), Arc::clone(&log), upstream.clone());
                // An error here is the client's or the store's own going away.
                std::thread::spawn(move || serve(client, &upstream, &plan, &log).ok());
            }
        });
        Self {
            address,
            path,
            seen,
        }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}{}", self.address, self.path)
    }

    /// The requests that were not passed on as they were.
    pub(crate) fn disturbed(&self) -> usize {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .filter(|(_, action)| *action != Action::Pass)
            .count()
    }

    pub(crate) fn seen(&self) -> Vec<(Head, Action)> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(
    mut client: TcpStream,
    upstream: &str,
    plan: &Mutex<Plan>,
    log: &Mutex<Vec<(Head, Action)>>,
) -> io::Result<()> {
    let (lines, mut body) = read_head(&mut client)?;
    let mut words = lines[0].split(' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    let value = |name: &str| {
        lines.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    };
    let head = Head {
        method: word(),
        target: word(),
        creates: value("if-none-match").is_some(),
    };
    let action = plan.lock().unwrap()(&head);
    log.lock().unwrap().push((head.clone(), action));
    let length: usize = value("content-length").map_or(0, |length| length.parse().unwrap_or(0));
    let mut rest = vec![0; length.saturating_sub(body.len())];
    client.read_exact(&mut rest)?;
    body.extend(rest);
    match action {
        Action::Break => return Ok(()),
        Action::Refuse(status, code) => {
            let text = format!("<Error><Code>{code}</Code><Message>scripted</Message></Error>");
            let text = if head.method == "HEAD" {
                String::new()
            } else {
                text
            };
            return write!(
                client,
                "HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}",
                text.len()
            );
        }
        Action::Hold(time) => std::thread::park_timeout(time),
        Action::Pass | Action::LoseAnswer | Action::Reset | Action::CutAnswer | Action::Stall => {}
    }
    // The upstream's name stays as the client signed it.
    let mut server = TcpStream::connect(upstream)?;
    for line in lines
        .iter()
        .filter(|line| !line.to_ascii_lowercase().starts_with("connection:"))
    {
        write!(server, "{line}\r\n")?;
    }
    write!(server, "Connection: close\r\n\r\n")?;
    server.write_all(&body)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    match action {
        Action::LoseAnswer => Ok(()),
        Action::Reset => socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)),
        Action::CutAnswer => client.write_all(&answer[..answer.len().saturating_sub(1)]),
        Action::Stall => {
            client.write_all(&answer[..answer.len().saturating_sub(1)])?;
            // Until the client goes away.
            client.read_exact(&mut [0])
        }
        _ => client.write_all(&answer),
    }
}

/// The lines of a head, and what of the body came with it.
fn read_head(stream: &mut TcpStream) -> io::Result<(Vec<String>, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 8 * 1024];
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend(&buffer[..n]);
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]);
            let lines = head.split("\r\n").map(str::to_owned).collect();
            return Ok((lines, bytes.split_off(end + 4)));
        }
    }
}
