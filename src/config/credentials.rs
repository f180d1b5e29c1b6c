//! Which way of signing in the flags and the environment mean: one, whole, or an error that says what is
//! missing or too much.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use tracing::warn;

use super::{read_flag_file, wrong};
use crate::cli::SignInArgs;
use crate::error::UsageError;
use crate::sign_in::{
    ApiToken, Authority, IdentityEndpoint, KeptSecret, Proof, SignIn, TokenPatience, Way,
};

/// The variable that holds the API token.
pub(super) const TOKEN_VARIABLE: &str = "MDCA_API_TOKEN";
/// The variable that holds an application's secret.
pub(super) const CLIENT_SECRET_VARIABLE: &str = "MDCA_CLIENT_SECRET";

const TOKEN_FILE: &str = "--token-file";
const CLIENT_SECRET_FILE: &str = "--client-secret-file";
const CERTIFICATE_FILE: &str = "--client-certificate-file";
const FEDERATED_TOKEN_FILE: &str = "--federated-token-file";
const MANAGED_IDENTITY: &str = "--managed-identity";

/// How long the authority may take over an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What of the environment has to do with signing in, beside the variables of flags.
#[derive(Debug, Default)]
pub struct SignInEnvironment {
    /// `MDCA_API_TOKEN`.
    pub token: Option<SecretString>,
    /// `MDCA_CLIENT_SECRET`.
    pub client_secret: Option<SecretString>,
    /// `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`: where a service of Azure asks for its identity's tokens.
    pub identity_endpoint: Option<String>,
    /// See above.
    pub identity_header: Option<SecretString>,
    /// `AZURE_POD_IDENTITY_AUTHORITY_HOST`: where a machine asks instead of the usual address.
    pub machine_endpoint: Option<String>,
    /// `AZURE_TENANT_ID`, `AZURE_CLIENT_ID`, `AZURE_FEDERATED_TOKEN_FILE` and `AZURE_AUTHORITY_HOST`:
    /// what Kubernetes gives a pod that has a workload identity.
    pub workload: Workload,
}

/// What Kubernetes tells a pod of its identity.
#[derive(Debug, Default)]
pub struct Workload {
    /// The tenant.
    pub tenant: Option<String>,
    /// The application.
    pub client_id: Option<String>,
    /// The file with the pod's token.
    pub token_file: Option<String>,
    /// Entra's address.
    pub authority: Option<String>,
}

/// The error of a scan without credentials.
pub fn no_credentials() -> UsageError {
    wrong("cannot sign in: there are no credentials").advise(
        "for an application of Entra set --entra-tenant, --client-id and MDCA_CLIENT_SECRET (or --client-secret-file, --client-certificate-file, --federated-token-file); else set MDCA_API_TOKEN or --token-file, the older way",
    )
}

/// What proves who asks, as far as it was given, and what the user calls it.
struct Given {
    name: &'static str,
    kind: Kind,
}

enum Kind {
    TokenFile(PathBuf),
    Token(SecretString),
    SecretFile(PathBuf),
    Secret(SecretString),
    Certificate(PathBuf),
    FederatedToken(PathBuf),
    ManagedIdentity,
}

impl SignInArgs {
    /// Everything that proves who asks.
    fn given(&self, environment: &SignInEnvironment) -> Vec<Given> {
        // Both are the same way, and the flag wins.
        let token = match (&self.token_file, &environment.token) {
            (Some(file), _) => Some((TOKEN_FILE, Kind::TokenFile(file.clone()))),
            (None, Some(token)) => Some((TOKEN_VARIABLE, Kind::Token(token.clone()))),
            (None, None) => None,
        };
        let file = |file: &Option<PathBuf>, name, kind: fn(PathBuf) -> Kind| {
            file.clone().map(|file| (name, kind(file)))
        };
        let secret = environment.client_secret.clone();
        let all = [
            token,
            secret.map(|secret| (CLIENT_SECRET_VARIABLE, Kind::Secret(secret))),
            file(
                &self.client_secret_file,
                CLIENT_SECRET_FILE,
                Kind::SecretFile,
            ),
            file(
                &self.client_certificate_file,
                CERTIFICATE_FILE,
                Kind::Certificate,
            ),
            file(
                &self.federated_token_file,
                FEDERATED_TOKEN_FILE,
                Kind::FederatedToken,
            ),
            (self.managed_identity).then_some((MANAGED_IDENTITY, Kind::ManagedIdentity)),
        ];
        let all = all.into_iter().flatten();
        all.map(|(name, kind)| Given { name, kind }).collect()
    }

    /// A flag that only goes with an application.
    fn application_flag(&self) -> Option<&'static str> {
        [
            ("--entra-tenant", self.entra_tenant.is_some()),
            ("--client-id", self.client_id.is_some()),
            ("--authority", self.authority.is_some()),
        ]
        .into_iter()
        .find_map(|(name, is_given)| is_given.then_some(name))
    }
}

/// The way of signing in.
///
/// # Errors
/// There is none, there are two, or something of it is missing or cannot be used.
pub(super) fn resolve(
    args: &SignInArgs,
    environment: SignInEnvironment,
    api_host: &str,
    max_attempts: u32,
    connect_timeout: Duration,
) -> Result<SignIn, UsageError> {
    let mut given = args.given(&environment);
    if let [first, second, ..] = given.as_slice() {
        return Err(two_ways(first.name, second.name));
    }
    let patience = TokenPatience {
        max_attempts,
        connect_timeout,
        answer_timeout: ANSWER_TIMEOUT,
    };
    let Some(given) = given.pop() else {
        let way = workload(args, environment.workload, api_host)?;
        return Ok(SignIn::Bearer(way, patience));
    };
    let Given { name, kind } = given;
    let way = match kind {
        Kind::Token(token) => return api_token(args, name, &token, None),
        Kind::TokenFile(file) => {
            let text = read_secret(TOKEN_FILE, &file)?;
            return api_token(args, name, &text, Some(&file));
        }
        Kind::ManagedIdentity => managed_identity(args, environment)?,
        Kind::Secret(secret) => {
            let kept = KeptSecret::of_variable(CLIENT_SECRET_VARIABLE, secret);
            application(args, Proof::Secret(kept), Workload::default(), api_host)?
        }
        Kind::SecretFile(file) => {
            let proof = Proof::Secret(kept(CLIENT_SECRET_FILE, &file)?);
            application(args, proof, Workload::default(), api_host)?
        }
        Kind::Certificate(file) => {
            let proof = Proof::Certificate(kept(CERTIFICATE_FILE, &file)?);
            application(args, proof, Workload::default(), api_host)?
        }
        Kind::FederatedToken(file) => {
            let proof = Proof::FederatedToken(kept(FEDERATED_TOKEN_FILE, &file)?);
            application(args, proof, environment.workload, api_host)?
        }
    };
    Ok(SignIn::Bearer(way, patience))
}

fn two_ways(first: &str, second: &str) -> UsageError {
    wrong(format!(
        "cannot sign in in two ways: {first} and {second} are both given"
    ))
    .advise("use one of them, and leave the other out (an empty variable is one that is not set)")
}

/// With a token of the portal.
fn api_token(
    args: &SignInArgs,
    name: &str,
    text: &SecretString,
    file: Option<&Path>,
) -> Result<SignIn, UsageError> {
    if let Some(flag) = args.application_flag() {
        return Err(two_ways(flag, name));
    }
    let place = match file {
        Some(file) => format!("{name} {}", file.display()),
        None => name.to_owned(),
    };
    let token = ApiToken::try_new(text).map_err(|error| wrong(format!("{place}: {error}")))?;
    Ok(SignIn::ApiToken(match file {
        Some(file) => token.kept_in(file.to_owned()),
        None => token,
    }))
}

/// As the application that Kubernetes tells a pod of; for want of anything else.
fn workload(args: &SignInArgs, workload: Workload, api_host: &str) -> Result<Way, UsageError> {
    let Some(file) = &workload.token_file else {
        return Err(match args.application_flag() {
            Some(flag) => wrong(format!(
                "cannot sign in as an application: {flag} is given, and neither a secret nor a certificate nor a federated token"
            ))
            .advise("set MDCA_CLIENT_SECRET, --client-secret-file, --client-certificate-file or --federated-token-file"),
            None => no_credentials(),
        });
    };
    let proof = Proof::FederatedToken(kept("AZURE_FEDERATED_TOKEN_FILE", Path::new(file))?);
    application(args, proof, workload, api_host)
}

/// As an application; what the flags leave open is that of Kubernetes.
fn application(
    args: &SignInArgs,
    proof: Proof,
    workload: Workload,
    api_host: &str,
) -> Result<Way, UsageError> {
    let missing = |flag: &str| {
        wrong(format!(
            "cannot sign in as an application with {}: {flag} is missing",
            proof.place()
        ))
        .advise("set --entra-tenant and --client-id, as the application's page in Entra shows them")
    };
    let tenant = args.entra_tenant.clone().or(workload.tenant);
    let tenant = tenant.ok_or_else(|| missing("--entra-tenant"))?;
    let client_id = args.client_id.clone().or(workload.client_id);
    let client_id = client_id.ok_or_else(|| missing("--client-id"))?;
    let authority = match (&args.authority, workload.authority) {
        (Some(url), _) => parse_authority("--authority", url)?,
        (None, Some(url)) => parse_authority("AZURE_AUTHORITY_HOST", &url)?,
        (None, None) => Authority::of_service(api_host),
    };
    proof
        .check()
        .map_err(|error| wrong(format!("{}: {error}", proof.place())))?;
    Ok(Way::Application {
        authority,
        tenant: checked_tenant(&tenant)?,
        client_id: checked_id(&client_id)?,
        proof,
    })
}

fn parse_authority(name: &str, url: &str) -> Result<Authority, UsageError> {
    url.parse()
        .map_err(|error| wrong(format!("{name}: {error}")))
}

/// As the identity of this machine or service.
fn managed_identity(args: &SignInArgs, environment: SignInEnvironment) -> Result<Way, UsageError> {
    for (flag, is_given) in [
        ("--entra-tenant", args.entra_tenant.is_some()),
        ("--authority", args.authority.is_some()),
    ] {
        if is_given {
            return Err(wrong(format!(
                "{flag} does not go with --managed-identity: Azure knows the identity's tenant"
            )));
        }
    }
    let SignInEnvironment {
        identity_endpoint,
        identity_header,
        machine_endpoint,
        ..
    } = environment;
    let (name, endpoint) = match (identity_endpoint, identity_header) {
        (Some(url), Some(header)) => (
            "IDENTITY_ENDPOINT",
            IdentityEndpoint::of_service(&url, header),
        ),
        _ => (
            "AZURE_POD_IDENTITY_AUTHORITY_HOST",
            IdentityEndpoint::of_machine(machine_endpoint.as_deref()),
        ),
    };
    Ok(Way::ManagedIdentity {
        endpoint: endpoint.map_err(|error| wrong(format!("{name}: {error}")))?,
        client_id: args.client_id.as_deref().map(checked_id).transpose()?,
    })
}

/// A tenant becomes part of a path.
fn checked_tenant(tenant: &str) -> Result<String, UsageError> {
    let tenant = tenant.trim();
    let is_name = !tenant.is_empty()
        && !tenant.starts_with('.')
        && tenant
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    let is_many = ["common", "organizations", "consumers"].contains(&tenant);
    if !is_name || is_many {
        return Err(wrong(format!(
            "--entra-tenant: '{tenant}' does not name one tenant; use its id or a domain of it"
        )));
    }
    Ok(tenant.to_owned())
}

fn checked_id(id: &str) -> Result<String, UsageError> {
    let id = id.trim();
    if id.is_empty() || id.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(wrong(
            "--client-id: it is empty or has blanks inside; use the application's id (a GUID)",
        ));
    }
    Ok(id.to_owned())
}

fn kept(flag: &'static str, file: &Path) -> Result<KeptSecret, UsageError> {
    Ok(KeptSecret::of_file(flag, file, read_secret(flag, file)?))
}

/// Reads a file that only its owner should be able to read. Warns of one that everybody can.
fn read_secret(flag: &str, path: &Path) -> Result<SecretString, UsageError> {
    let read = || {
        let file = File::open(path)?;
        let found = file.metadata()?;
        if found.is_file() && found.mode() & 0o004 != 0 {
            warn!(file = %path.display(), "every user of this machine can read the {}: use chmod o-r", what(flag));
        }
        Ok(SecretString::from(read_flag_file(file)?))
    };
    read().map_err(|error: io::Error| {
        let wrong = wrong(format!("{flag} {}: {error}", path.display()));
        if flag == CERTIFICATE_FILE && error.kind() == io::ErrorKind::InvalidData {
            return wrong.advise(
                "use PEM; of a PFX make one with: openssl pkcs12 -in FILE.pfx -out FILE.pem -nodes",
            );
        }
        wrong
    })
}

/// What a file is, in a sentence.
fn what(flag: &str) -> &'static str {
    match flag {
        TOKEN_FILE => "token file",
        CLIENT_SECRET_FILE => "file with the client secret",
        CERTIFICATE_FILE => "file with the certificate's private key",
        _ => "file with the federated token",
    }
}
