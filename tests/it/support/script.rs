//! A server that says what it is told, to the service's requests as to a store's: real HTTP/1.1 on
//! loopback, one connection for each request.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use mdca_lake::clock::{Clock, SystemClock};
use serde_json::{Value, json};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// The request line and the headers.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    /// The lower bound on the clock, where it is a request for activities.
    pub(crate) fn lower_ms(&self) -> i64 {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["filters"]["created"]["gte"].as_i64().unwrap_or(0)
    }

    /// Whether a time lies in the range that is asked for.
    pub(crate) fn is_within(&self, time_ms: i64) -> bool {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let bound = |which: &str| body["filters"]["created"][which].as_i64();
        bound("gte") <= Some(time_ms) && bound("lte").is_some_and(|last_ms| time_ms <= last_ms)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    pub(crate) status: u16,
    /// Whole lines, each with its line end.
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

impl Said {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: String::new(),
            body: body.into(),
        }
    }

    /// A page of one record, saved when the range that is asked for begins, with these members more.
    pub(crate) fn one_record(asked: &Asked, more: &Value) -> Self {
        Self::records(asked, 1, more)
    }

    /// A page of so many, one after each millisecond.
    pub(crate) fn records(asked: &Asked, count: i64, more: &Value) -> Self {
        let from_ms = asked.lower_ms();
        let record = |at_ms: i64| {
            let mut record =
                json!({"_id": format!("id-{at_ms}"), "timestamp": at_ms, "created": at_ms});
            for (key, value) in more.as_object().unwrap() {
                record[key] = value.clone();
            }
            record
        };
        let records: Vec<Value> = (from_ms..from_ms + count).map(record).collect();
        Self::new(200, json!({"data": records, "hasNext": false}).to_string())
    }
}

type Plan = dyn Fn(&Asked) -> Said + Send + Sync;

/// A server that lives as long as the test process.
pub(crate) struct Script {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Script {
    pub(crate) fn start(plan: impl Fn(&Asked) -> Said + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (plan, asked): (Arc<Plan>, Arc<Mutex<Vec<Asked>>>) = (Arc::new(plan), Arc::default());
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (plan, log) = (Arc::clone(&plan), Arc::clone(&log));
                // An error here is the client's going away.
                std::thread::spawn(move || serve(client, plan.as_ref(), &log).ok());
            }
        });
        Self { address, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(mut client: TcpStream, plan: &Plan, log: &Mutex<Vec<Asked>>) -> io::Result<()> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 8 * 1024];
    let head_end = loop {
        let n = client.read(&mut buffer)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend(&buffer[..n]);
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
    };
    let mut asked = Asked {
        head: String::from_utf8_lossy(&bytes[..head_end]).into_owned(),
        body: bytes.split_off(head_end + 4),
    };
    let length = asked.header("content-length");
    let length: usize = length.map_or(0, |length| length.parse().unwrap_or(0));
    let mut rest = vec![0; length.saturating_sub(asked.body.len())];
    client.read_exact(&mut rest)?;
    asked.body.extend(rest);
    let Said {
        status,
        headers,
        body,
    } = plan(&asked);
    let has_body = !asked.head.starts_with("HEAD ");
    log.lock().unwrap().push(asked);
    let now = chrono::DateTime::from_timestamp_millis(SystemClock::new().now_ms()).unwrap();
    write!(
        client,
        "HTTP/1.1 {status} x\r\nDate: {}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        now.format("%a, %d %b %Y %H:%M:%S GMT"),
        body.len()
    )?;
    if has_body {
        client.write_all(&body)?;
    }
    Ok(())
}
