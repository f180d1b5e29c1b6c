//! What `--lake` names: a folder, or a prefix in a bucket.

use std::fmt;
use std::path::PathBuf;

use object_store::path::Path;
use url::Url;

/// Who runs the object storage, as far as its settings have other names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Provider {
    /// S3 and what speaks its protocol.
    S3,
    /// Azure Blob Storage.
    Azure,
    /// Google Cloud Storage.
    Google,
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::S3 => "S3",
            Self::Azure => "Azure",
            Self::Google => "Google Cloud Storage",
        })
    }
}

/// What a URL of a lake begins with.
const SCHEMES: [&str; 7] = ["file", "s3", "s3a", "az", "abfs", "abfss", "gs"];

/// Where a lake is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    /// A folder on a disk.
    Disk(PathBuf),
    /// A place in object storage.
    Remote(RemoteLocation),
}

/// A lake's place in object storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RemoteLocation {
    /// Who runs it.
    pub(super) provider: Provider,
    /// The bucket or container as `object_store` takes it: a URL without a path.
    pub(super) bucket: String,
    /// The prefix of all keys of the lake; empty where the lake is the whole bucket.
    pub(super) prefix: Path,
    /// How messages name the lake. Holds no secret.
    pub(super) shown: String,
}

impl Location {
    /// Reads a location.
    ///
    /// # Errors
    /// It is empty, has an unknown scheme, or carries what does not belong into it. A secret in it
    /// is not repeated.
    pub(super) fn parse(text: &str) -> Result<Self, ParseLocationError> {
        if text.is_empty() {
            return Err(bad(text, "the location is empty"));
        }
        if text == "~" || text.starts_with("~/") {
            return Err(bad(text, "the shell did not expand '~'"));
        }
        if let Some(scheme) = scheme_of_typo(text) {
            let reason = format!(
                "there is no '//' behind '{scheme}:'; a folder of that name is ./{scheme}:…"
            );
            return Err(bad(&format!("{scheme}:…"), &reason));
        }
        match text.split_once("://") {
            None => Ok(Self::Disk(PathBuf::from(text))),
            Some(("file", _)) => Url::parse(text)
                .ok()
                .filter(|url| url.query().is_none() && url.fragment().is_none())
                .and_then(|url| url.to_file_path().ok())
                .map(Self::Disk)
                .ok_or_else(|| {
                    let shown = text.split(['?', '#']).next().unwrap_or_default();
                    let reason =
                        "a file URL has the form file:///folder, with '?' as %3F and '#' as %23";
                    bad(shown, reason)
                }),
            Some(("s3", _)) => remote(text, Provider::S3).map(Self::Remote),
            Some(("az" | "abfs" | "abfss", _)) => remote(text, Provider::Azure).map(Self::Remote),
            Some(("gs", _)) => remote(text, Provider::Google).map(Self::Remote),
            Some((scheme, _)) => Err(bad(
                &format!("{scheme}://…"),
                &format!(
                    "the scheme '{scheme}' is not supported; use a path, file:///folder, s3://bucket/folder, az://container/folder, abfss://container@account.dfs.core.windows.net/folder or gs://bucket/folder"
                ),
            )),
        }
    }
}

/// Where nothing is that can be opened.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct BadLocation(pub(super) String);

/// There is no folder of that name.
#[derive(Debug, thiserror::Error)]
#[error("nothing is there")]
pub(super) struct NothingThere;

/// A text that is no location.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NoLocation(String);

/// Why a text is not a location, and as much of the text as may be shown.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the lake {shown}")]
pub(super) struct ParseLocationError {
    pub(super) shown: String,
    #[source]
    pub(super) reason: NoLocation,
}

fn bad(shown: &str, reason: &str) -> ParseLocationError {
    ParseLocationError {
        shown: shown.to_owned(),
        reason: NoLocation(reason.to_owned()),
    }
}

/// The scheme of a URL that lacks a slash or both: it would be a folder's name.
fn scheme_of_typo(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once(':')?;
    let is_known = SCHEMES.contains(&scheme.to_ascii_lowercase().as_str());
    (is_known && !rest.starts_with("//")).then_some(scheme)
}

fn remote(text: &str, provider: Provider) -> Result<RemoteLocation, ParseLocationError> {
    let scheme = text.split("://").next().unwrap_or_default();
    let hidden = format!("{scheme}://…");
    let url = Url::parse(text).map_err(|error| bad(&hidden, &error.to_string()))?;
    let takes_account = scheme.starts_with("abfs");
    if url.password().is_some() || !url.username().is_empty() && !takes_account {
        return Err(bad(
            &hidden,
            "it has a user or a secret in it; credentials come from the environment only",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad(
            &hidden,
            "it has a '?' or a '#'; credentials come from the environment only",
        ));
    }
    let host = match url.host_str() {
        Some(host) if !host.is_empty() && url.port().is_none() => host,
        _ => {
            return Err(bad(
                &hidden,
                &format!("it names no bucket; use {scheme}://bucket/folder"),
            ));
        }
    };
    let bucket = match url.username() {
        "" => format!("{scheme}://{host}"),
        container => format!("{scheme}://{container}@{host}"),
    };
    let prefix = Path::from_url_path(url.path().trim_matches('/'))
        .map_err(|error| bad(&hidden, &error.to_string()))?;
    let shown = match prefix.as_ref() {
        "" => bucket.clone(),
        prefix => format!("{bucket}/{prefix}"),
    };
    Ok(RemoteLocation {
        provider,
        bucket,
        prefix,
        shown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote_of(text: &str) -> RemoteLocation {
        match Location::parse(text).unwrap() {
            Location::Remote(remote) => remote,
            Location::Disk(folder) => panic!("{text} is the folder {}", folder.display()),
        }
    }

    #[test]
    fn buckets_prefixes_and_names_for_messages() {
        for (text, bucket, prefix, shown) in [
            ("s3://b", "s3://b", "", "s3://b"),
            ("s3://b/", "s3://b", "", "s3://b"),
            ("s3://b/a lake/x/", "s3://b", "a lake/x", "s3://b/a lake/x"),
            ("az://c/lake", "az://c", "lake", "az://c/lake"),
            (
                "abfss://c@acc.dfs.core.windows.net/l",
                "abfss://c@acc.dfs.core.windows.net",
                "l",
                "abfss://c@acc.dfs.core.windows.net/l",
            ),
            ("gs://b_1/l", "gs://b_1", "l", "gs://b_1/l"),
        ] {
            let remote = remote_of(text);
            assert_eq!(remote.bucket, bucket, "{text}");
            assert_eq!(remote.prefix.as_ref(), prefix, "{text}");
            assert_eq!(remote.shown, shown, "{text}");
        }
        assert_eq!(
            Location::parse("file:///srv/lake").unwrap(),
            Location::Disk(PathBuf::from("/srv/lake"))
        );
        assert_eq!(
            Location::parse("a/b").unwrap(),
            Location::Disk(PathBuf::from("a/b"))
        );
    }

    #[test]
    fn what_is_refused_is_not_repeated() {
        for text in [
            "s3://key:hunter2@bucket/lake",
            "s3://hunter2@bucket/lake",
            "abfss://c:hunter2@acc.dfs.core.windows.net/l",
            "az://c/lake?sig=hunter2",
            "s3://b/l#hunter2",
            "file:///srv/lake?sig=hunter2",
            "file:///srv/lake#hunter2",
            "ftp://hunter2@host/x",
            "s3://",
            "s3:///lake",
            "s3://b/a//c",
            "~",
            "~/lake",
            "",
        ] {
            let error = Location::parse(text).unwrap_err();
            let message = format!("{error:?} {}", crate::text::plain::chain(&error));
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
