//! A store in small, for tests: it answers each request with the next answer of a script.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use parking_lot::Mutex;

use super::Store;

/// A secret of the lake's settings.
pub(crate) const SECRET: &str = "Secr3tSecr3t";

/// An S3 that lives as long as the test process.
pub(crate) struct Scripted {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    /// Starts a store of these answers: a status and a body each.
    pub(crate) fn start(answers: &[(u16, &'static str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let (answers, log) = (answers.to_vec(), Arc::clone(&heads));
        std::thread::spawn(move || {
            for ((status, body), client) in answers.into_iter().zip(listener.incoming().flatten()) {
                // An error is the client's going away.
                let _ = answer(client, status, body, &log);
            }
        });
        Self { address, heads }
    }

    /// A lake in it.
    pub(crate) fn store(&self) -> Store {
        let settings = [
            ("aws_endpoint", format!("http://{}", self.address)),
            ("aws_allow_http", "true".to_owned()),
            ("aws_access_key_id", "id".to_owned()),
            ("aws_secret_access_key", SECRET.to_owned()),
        ];
        Store::open_with(
            "s3://b/l",
            &settings.map(|(name, value)| (name.to_owned(), value)),
        )
        .unwrap()
    }

    /// The heads of the requests that were answered, in lower case.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().clone()
    }
}

/// Reads a request, keeps its head, and answers.
fn answer(
    mut client: TcpStream,
    status: u16,
    body: &str,
    heads: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 8 * 1024];
    loop {
        let n = client.read(&mut buffer)?;
        bytes.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        let Some((head, sent)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap_or_default());
        if sent.len() < length {
            continue;
        }
        heads.lock().push(head.to_owned());
        let shown = if head.starts_with("head ") { "" } else { body };
        return write!(
            client,
            "HTTP/1.1 {status} x\r\nETag: \"e\"\r\nLast-Modified: Thu, 01 Oct 2026 00:00:00 GMT\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{shown}",
            body.len()
        );
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use object_store::path::Path;

    use super::super::Creation;
    use super::*;
    use crate::text::plain::chain;

    const LISTING: &str =
        "<ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated></ListBucketResult>";

    #[tokio::test]
    async fn a_listing_that_is_none_is_asked_for_again() {
        for none in [
            "<Error><Code>InternalError</Code></Error>",
            "<html><body/></html>",
            "<ListAllMyBucketsResult></ListAllMyBucketsResult>",
            "",
        ] {
            let s3 = Scripted::start(&[(200, none), (200, LISTING)]);
            let store = s3.store();
            assert_eq!(store.list(&Path::from("x")).await.unwrap(), [], "{none}");
            assert_eq!(store.retries().get("no_listing"), Some(&1), "{none}");
        }
    }

    #[tokio::test]
    async fn a_key_that_no_request_can_name_hides_no_other() {
        let s3 = Scripted::start(&[(
            200,
            "<ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated>\
             <Contents><Key>l/x//odd</Key><LastModified>2026-10-01T00:00:00.000Z</LastModified><Size>1</Size></Contents>\
             <Contents><Key>l/x/</Key><LastModified>2026-10-01T00:00:00.000Z</LastModified><Size>0</Size></Contents>\
             <Contents><Key>l/x/a</Key><LastModified>2026-10-01T00:00:00.000Z</LastModified><Size>1</Size></Contents>\
             </ListBucketResult>",
        )]);
        let store = s3.store();
        let listed = store.list(&Path::from("x")).await.unwrap();
        let paths: Vec<&str> = listed
            .iter()
            .map(|object| object.location.as_ref())
            .collect();
        assert_eq!(paths, ["x/a"]);
        let strangers = store.uploads().strangers().await.unwrap();
        let paths: Vec<&str> = strangers.iter().map(|odd| odd.path.as_str()).collect();
        assert_eq!(paths, ["x//odd"]);
    }

    #[tokio::test]
    async fn a_refusal_that_passes_is_tried_again_and_still_creates_only() {
        for (status, refusal) in [
            (
                409,
                "<Error><Code>ConditionalRequestConflict</Code></Error>",
            ),
            (400, "<Error><Code>RequestTimeout</Code></Error>"),
        ] {
            let s3 = Scripted::start(&[(status, refusal), (200, "")]);
            let store = s3.store();
            let created = store
                .create(&Path::from("x"), Bytes::from_static(b"1"))
                .await;
            assert_eq!(created.unwrap(), Creation::Created, "{refusal}");
            assert_eq!(store.retries().get(&format!("http_{status}")), Some(&1));
            let heads = s3.heads();
            assert_eq!(heads.len(), 2, "{refusal}");
            assert!(heads.iter().all(|head| head.contains("if-none-match: *")));
        }
    }

    #[tokio::test]
    async fn an_answer_of_another_size_is_no_fault_of_its_object() {
        let portal = (200, "<html/>");
        let whole = Scripted::start(&[portal, (200, "0123456789")]).store();
        let error = whole.checksum(&Path::from("x"), 10).await.unwrap_err();
        let words = chain(&error);
        assert!(words.contains("7 bytes, and the object 10"), "{words}");
        let cut = Scripted::start(&[(200, "0123"), (200, "0123")]).store();
        let found = cut.checksum(&Path::from("x"), 10).await.unwrap();
        assert_eq!(found, Some((4, None)));
    }

    #[tokio::test]
    async fn a_secret_that_the_store_repeats_is_not_shown() {
        let s3 = Scripted::start(&[(
            403,
            "<Error><Code>AccessDenied</Code><Message>not with Secr3tSecr3t</Message></Error>",
        )]);
        let refused = s3.store().get(&Path::from("x"), 1).await.unwrap_err();
        let words = chain(&refused);
        assert!(
            words.contains("not with [secret]") && !words.contains(SECRET),
            "{words}"
        );
    }
}
