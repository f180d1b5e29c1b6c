//! A company's network: a proxy that opens TLS with certificates of an authority of its own, and a line
//! that breaks. Hosts have names that only the proxy knows, so that what is answered went through it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// So long a broken line is silent before it is reset.
const SILENCE: Duration = Duration::from_millis(300);

/// An authority that is made anew, with its certificate in a file.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    room: TempDir,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let room = tempfile::tempdir().unwrap();
        std::fs::write(room.path().join("authority.pem"), issuer.pem()).unwrap();
        Self { issuer, room }
    }

    /// Where its certificate is, in PEM.
    pub(crate) fn file(&self) -> PathBuf {
        self.room.path().join("authority.pem")
    }

    /// What a server of this name needs.
    fn server(&self, host: &str) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .unwrap()
    }
}

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    Holds,
    /// Nothing comes back, then a reset.
    BreaksBeforeTls,
    /// The same once a request was sent.
    BreaksInTheAnswer,
    /// The proxy says this status.
    Refused(u16),
}

/// A proxy that lives as long as the test process.
pub(crate) struct TlsProxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

/// Who is behind the proxy: `host:port` as clients name them, and where they are.
type Routes = Vec<(String, String)>;

struct World {
    authority: Arc<Authority>,
    routes: Routes,
    line: Box<dyn Fn(usize) -> Line + Send + Sync>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl TlsProxy {
    /// `line` says what becomes of each connection, counted from 0.
    pub(crate) fn start(
        authority: &Arc<Authority>,
        routes: Routes,
        line: impl Fn(usize) -> Line + Send + Sync + 'static,
    ) -> Self {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let world = Arc::new(World {
            authority: Arc::clone(authority),
            routes,
            line: Box::new(line),
            asked: Arc::clone(&asked),
        });
        let address = listen(move |client, number| {
            let world = Arc::clone(&world);
            async move { connect(client, number, &world).await }
        });
        Self { address, asked }
    }

    /// With a name and a password.
    pub(crate) fn url(&self, password: &str) -> String {
        format!("http://me:{password}@{}", self.address)
    }

    /// The heads of what it was asked.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// A server that speaks TLS itself, before one that does not.
pub(crate) fn https_before(authority: &Arc<Authority>, upstream: &str) -> SocketAddr {
    let (authority, upstream) = (Arc::clone(authority), upstream.to_owned());
    listen(move |client, _| {
        let (authority, upstream) = (Arc::clone(&authority), upstream.clone());
        async move { open(client, "127.0.0.1", &upstream, Line::Holds, &authority).await }
    })
}

/// Serves connections, counted from 0, until the process ends.
fn listen<F>(serve: impl Fn(TcpStream, usize) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let mut number = 0;
            while let Ok((client, _)) = listener.accept().await {
                // An error here is one side's going away.
                tokio::spawn(serve(client, number));
                number += 1;
            }
        });
    });
    address
}

async fn connect(mut client: TcpStream, number: usize, world: &World) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    world.asked.lock().unwrap().push(head);
    let line = (world.line)(number);
    if line == Line::BreaksBeforeTls {
        return reset(client).await;
    }
    let route = world.routes.iter().find(|(host, _)| *host == target);
    let refused = match (line, route) {
        (Line::Refused(status), _) => Some(status),
        (_, None) => Some(502),
        _ => None,
    };
    if let Some(status) = refused {
        let answer = format!("HTTP/1.1 {status} no\r\nContent-Length: 0\r\n\r\n");
        return client.write_all(answer.as_bytes()).await;
    }
    client.write_all(b"HTTP/1.1 200 connected\r\n\r\n").await?;
    let (_, upstream) = route.unwrap();
    let host = target.rsplit_once(':').unwrap().0;
    open(client, host, upstream, line, &world.authority).await
}

async fn open(
    client: TcpStream,
    host: &str,
    upstream: &str,
    line: Line,
    authority: &Authority,
) -> io::Result<()> {
    let acceptor = TlsAcceptor::from(Arc::new(authority.server(host)));
    let mut client = acceptor.accept(client).await?;
    if line == Line::BreaksInTheAnswer {
        client.read_u8().await?;
        return reset(client.into_inner().0).await;
    }
    let mut upstream = TcpStream::connect(upstream).await?;
    copy_bidirectional(&mut client, &mut upstream).await?;
    Ok(())
}

/// Is silent for a while, and breaks.
async fn reset(client: TcpStream) -> io::Result<()> {
    let silent = tokio::time::timeout(SILENCE, std::future::pending::<()>());
    let _ = silent.await;
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO))
}
