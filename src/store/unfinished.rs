//! Uploads that were begun in S3 and neither completed nor aborted. They are invisible and cost
//! money. `object_store` cannot list them; its signer and its client can be made to.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use object_store::aws::AmazonS3;
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer};
use serde::Deserialize;

use super::listing::{self, NoListing, OF_UPLOADS};

/// How long the signature of a listing is good for.
const SIGNED_FOR: Duration = Duration::from_secs(300);
/// How often a page of the listing is asked for.
const TRIES: u32 = 3;

/// An upload that was begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfinishedUpload {
    /// Its object, relative to the lake's root.
    pub path: Path,
    /// The store's id of it.
    pub id: String,
}

/// Why unfinished uploads could not be listed or aborted. Holds no signed URL.
#[derive(Debug, thiserror::Error)]
pub enum UnfinishedError {
    /// The store's own error.
    #[error(transparent)]
    Objects(#[from] object_store::Error),
    /// An answer that is not a success.
    #[error("HTTP {0}")]
    Status(u16),
    /// No answer.
    #[error("{0}")]
    Request(String),
    /// An answer that is not a listing.
    #[error("the listing is not what S3 answers")]
    Listing(#[from] quick_xml::DeError),
    /// An answer that is something else.
    #[error("{0}")]
    NoListing(String),
    /// Pages that do not go on from one to the next.
    #[error("the listing does not come to its end")]
    Endless,
}

/// Where a page of the listing ends: a key, and an id of an upload to it.
type Markers = (String, String);

/// What a store knows of uploads that were not ended.
#[async_trait]
pub trait Unfinished: Send + Sync + fmt::Debug {
    /// Lists those of the lake.
    async fn list(&self) -> Result<Vec<UnfinishedUpload>, UnfinishedError>;

    /// Ends one for good. One that is gone already is fine.
    async fn abort(&self, upload: &UnfinishedUpload) -> Result<(), UnfinishedError>;
}

/// Those of a lake in S3.
#[derive(Debug)]
pub(super) struct S3Unfinished {
    s3: AmazonS3,
    client: HttpClient,
    prefix: Path,
}

impl S3Unfinished {
    pub(super) fn new(s3: AmazonS3, client: HttpClient, prefix: Path) -> Self {
        Self { s3, client, prefix }
    }

    /// What all keys of the lake begin with.
    fn folder(&self) -> String {
        match self.prefix.as_ref() {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        }
    }

    /// One page of the listing, after the markers of the page before.
    async fn page(
        &self,
        prefix: &str,
        markers: Option<&Markers>,
    ) -> Result<Listing, UnfinishedError> {
        let mut query = vec![
            ("uploads".to_owned(), String::new()),
            ("prefix".to_owned(), prefix.to_owned()),
        ];
        if let Some((key, id)) = markers {
            query.push(("key-marker".to_owned(), key.clone()));
            query.push(("upload-id-marker".to_owned(), id.clone()));
        }
        let options = SignedUrlOptions::new().with_query(query);
        let mut tries = 0;
        loop {
            tries += 1;
            let url = self
                .s3
                .signed_url_opts(Method::GET, &Path::default(), SIGNED_FOR, &options)
                .await?;
            match self.get(url.as_str()).await.and_then(|body| read(&body)) {
                Ok(page) => return Ok(page),
                Err(error) if tries == TRIES => return Err(error),
                Err(_) => {}
            }
        }
    }

    async fn get(&self, url: &str) -> Result<String, UnfinishedError> {
        let failed = |error: &dyn fmt::Display| UnfinishedError::Request(error.to_string());
        let request = HttpRequest::new(HttpRequestBody::empty());
        let (mut parts, body) = request.into_parts();
        parts.method = Method::GET;
        parts.uri = url
            .parse()
            .map_err(|_| failed(&"the signed URL is not a URL"))?;
        let response = self
            .client
            .execute(HttpRequest::from_parts(parts, body))
            .await
            .map_err(|error| failed(&error))?;
        let status = response.status();
        if !status.is_success() {
            return Err(UnfinishedError::Status(status.as_u16()));
        }
        let body = response
            .into_body()
            .bytes()
            .await
            .map_err(|error| failed(&error))?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}

#[async_trait]
impl Unfinished for S3Unfinished {
    async fn list(&self) -> Result<Vec<UnfinishedUpload>, UnfinishedError> {
        let folder = self.folder();
        let mut found = Vec::new();
        let mut markers = None;
        let mut seen = HashSet::new();
        loop {
            let page = self.page(&folder, markers.as_ref()).await?;
            for Entry { key, upload_id } in page.uploads {
                // A store that does not know `prefix` lists everything.
                let path = key
                    .strip_prefix(&folder)
                    .and_then(|path| Path::parse(path).ok());
                found.extend(path.map(|path| UnfinishedUpload {
                    path,
                    id: upload_id,
                }));
            }
            if !page.is_truncated {
                return Ok(found);
            }
            let next = (page.next_key_marker, page.next_upload_id_marker);
            // Ids of one key have an order of the store's own.
            if !seen.insert(next.clone()) {
                return Err(UnfinishedError::Endless);
            }
            markers = Some(next);
        }
    }

    async fn abort(&self, upload: &UnfinishedUpload) -> Result<(), UnfinishedError> {
        let key = Path::parse(format!("{}{}", self.folder(), upload.path))
            .map_err(object_store::Error::from)?;
        match self.s3.abort_multipart(&key, &upload.id).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl From<NoListing> for UnfinishedError {
    fn from(error: NoListing) -> Self {
        Self::NoListing(error.to_string())
    }
}

/// Reads a page of the listing.
fn read(body: &str) -> Result<Listing, UnfinishedError> {
    listing::check(body.as_bytes(), OF_UPLOADS)?;
    Ok(quick_xml::de::from_str(body)?)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listing {
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    next_key_marker: String,
    #[serde(default)]
    next_upload_id_marker: String,
    #[serde(default, rename = "Upload")]
    uploads: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    key: String,
    upload_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_listing_of_uploads_is_refused() {
        for body in [
            "",
            "<html/>",
            "<Error><Code>x</Code></Error>",
            "<ListBucketResult/>",
        ] {
            assert!(
                matches!(read(body), Err(UnfinishedError::NoListing(_))),
                "{body}"
            );
        }
    }

    #[test]
    fn listings_are_read_with_and_without_uploads() {
        let none = "<ListMultipartUploadsResult><Bucket>b</Bucket><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>";
        let listing: Listing = quick_xml::de::from_str(none).unwrap();
        assert!(listing.uploads.is_empty() && !listing.is_truncated);

        let two = r#"<?xml version="1.0" encoding="UTF-8"?>
            <ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
              <Bucket>b</Bucket><NextKeyMarker>l/b</NextKeyMarker><NextUploadIdMarker>2</NextUploadIdMarker>
              <IsTruncated>true</IsTruncated>
              <Upload><Key>l/a &amp; b</Key><UploadId>1</UploadId><Initiator><ID>x</ID></Initiator></Upload>
              <Upload><Key>l/b</Key><UploadId>2</UploadId></Upload>
            </ListMultipartUploadsResult>"#;
        let listing: Listing = quick_xml::de::from_str(two).unwrap();
        assert!(listing.is_truncated);
        assert_eq!(listing.next_key_marker, "l/b");
        assert_eq!(listing.uploads[0].key, "l/a & b");
        assert_eq!(listing.uploads[1].upload_id, "2");
    }
}
