//! What proves who asks for a token: a text that stands in a variable or a file.

use std::path::{Path, PathBuf};
use std::{fmt, fs};

use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use tracing::warn;

use super::certificate::{ClientCertificate, UnusableCertificate};

/// A secret text and where it stands. One in a file is read anew whenever it is used: it may have been
/// replaced meanwhile.
pub struct KeptSecret {
    place: Place,
    last: Mutex<SecretString>,
}

enum Place {
    Variable(&'static str),
    File { flag: &'static str, path: PathBuf },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => f.write_str(name),
            Self::File { flag, path } => write!(f, "{flag} {}", path.display()),
        }
    }
}

/// Why a secret cannot be used. Never holds it.
#[derive(Debug, thiserror::Error)]
pub enum UnusableProof {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(#[from] std::io::Error),
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It has characters that no secret has.
    #[error("it has a line break or a control character inside; it should hold nothing else")]
    Control,
    /// It is no certificate.
    #[error(transparent)]
    Certificate(#[from] UnusableCertificate),
}

impl KeptSecret {
    /// A secret that stands in a variable.
    pub fn of_variable(name: &'static str, text: SecretString) -> Self {
        Self {
            place: Place::Variable(name),
            last: Mutex::new(text),
        }
    }

    /// A secret that stands in a file, which a flag names; with what it holds now.
    pub fn of_file(flag: &'static str, path: &Path, text: SecretString) -> Self {
        Self {
            place: Place::File {
                flag,
                path: path.to_owned(),
            },
            last: Mutex::new(text),
        }
    }

    /// Where it stands, for errors.
    pub fn place(&self) -> String {
        self.place.to_string()
    }

    /// The text as it stands there now. Where it cannot be read any more, as it stood the last time.
    fn text(&self) -> SecretString {
        let Place::File { path, .. } = &self.place else {
            return self.last.lock().clone();
        };
        // A pipe gives its text once, and then lets nobody in until somebody writes again.
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return self.last.lock().clone();
        }
        match fs::read_to_string(path) {
            Ok(text) if !text.trim().is_empty() => *self.last.lock() = text.into(),
            Ok(_) => {
                warn!(place = %self.place, "the file is empty now: what it held before is used");
            }
            Err(error) => {
                warn!(place = %self.place, %error, "cannot read the file again: what it held before is used");
            }
        }
        self.last.lock().clone()
    }
}

/// What an application shows to get a token.
pub enum Proof {
    /// A secret of the application.
    Secret(KeptSecret),
    /// A certificate and its private key, as PEM.
    Certificate(KeptSecret),
    /// A token of an issuer that the application trusts.
    FederatedToken(KeptSecret),
}

/// What an application shows, as it stands now.
pub(super) enum Shown {
    /// Goes along as it is.
    Secret(SecretString),
    /// Goes along as it is, as somebody else's assertion.
    Assertion(SecretString),
    /// Signs an assertion.
    Certificate(ClientCertificate),
}

impl Proof {
    fn kept(&self) -> &KeptSecret {
        match self {
            Self::Secret(kept) | Self::Certificate(kept) | Self::FederatedToken(kept) => kept,
        }
    }

    /// Where it stands, for errors.
    pub fn place(&self) -> String {
        self.kept().place()
    }

    /// Whether it can be used as it stands now.
    pub fn check(&self) -> Result<(), UnusableProof> {
        self.show().map(|_| ())
    }

    /// Reads it.
    pub(super) fn show(&self) -> Result<Shown, UnusableProof> {
        let text = self.kept().text();
        match self {
            Self::Certificate(_) => Ok(Shown::Certificate(ClientCertificate::from_pem(&text)?)),
            Self::Secret(_) => Ok(Shown::Secret(one_line(&text)?)),
            Self::FederatedToken(_) => Ok(Shown::Assertion(one_line(&text)?)),
        }
    }
}

/// The one line that a text is; a line break at its end is the file's.
fn one_line(text: &SecretString) -> Result<SecretString, UnusableProof> {
    // Some editors begin a file with a mark.
    let text = text.expose_secret().trim_start_matches('\u{feff}');
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.trim().is_empty() {
        return Err(UnusableProof::Empty);
    }
    if line.chars().any(char::is_control) {
        return Err(UnusableProof::Control);
    }
    Ok(line.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(proof: &Proof) -> String {
        match proof.show().unwrap() {
            Shown::Secret(text) | Shown::Assertion(text) => text.expose_secret().to_owned(),
            Shown::Certificate(_) => unreachable!(),
        }
    }

    #[test]
    fn a_secret_that_is_replaced_in_its_file_is_the_new_one_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        fs::write(&file, "0ld\n").unwrap();
        let kept = KeptSecret::of_file("--client-secret-file", &file, "0ld\n".into());
        let proof = Proof::Secret(kept);
        assert_eq!(shown(&proof), "0ld");
        fs::write(&file, "n3w\r\n").unwrap();
        assert_eq!(shown(&proof), "n3w");
        // While it is being replaced, or is gone, the last one holds.
        fs::write(&file, "").unwrap();
        assert_eq!(shown(&proof), "n3w");
        fs::remove_file(&file).unwrap();
        assert_eq!(shown(&proof), "n3w");
    }

    #[test]
    fn a_pipe_is_not_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("secret");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let kept = KeptSecret::of_file("--client-secret-file", &pipe, "s3cret\n".into());
        assert_eq!(shown(&Proof::Secret(kept)), "s3cret");
    }

    #[test]
    fn what_is_not_one_line_is_refused_without_being_shown() {
        for (text, said) in [
            ("", "empty"),
            (" \n", "empty"),
            ("s3cret\nx", "line break"),
            ("s3cret\0", "control"),
        ] {
            let proof = Proof::FederatedToken(KeptSecret::of_variable("X", text.into()));
            let error = proof.check().unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("s3cret"), "{error}");
        }
    }
}
