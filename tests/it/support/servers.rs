//! Object stores that `tests/servers/up` has brought up, and how a lake in them is reached.

use std::path::PathBuf;
use std::process::Command;

use mdca_lake::store::Store;

/// A server, by the variable that says where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Rgw,
    Moto,
    Azurite,
}

impl Server {
    pub(crate) const ALL: [Self; 3] = [Self::Rgw, Self::Moto, Self::Azurite];

    fn variable(self) -> &'static str {
        match self {
            Self::Rgw => "MDCA_TEST_S3_RGW",
            Self::Moto => "MDCA_TEST_S3_MOTO",
            Self::Azurite => "MDCA_TEST_AZURITE",
        }
    }

    /// How it is reached; `None`, loudly, where it is not up.
    pub(crate) fn up(self) -> Option<Reached> {
        let variable = self.variable();
        let Ok(value) = std::env::var(variable) else {
            println!("GAP: {variable} is not set: nothing is tested against {self:?}");
            return None;
        };
        let parts: Vec<&str> = value.splitn(3, ',').collect();
        let [endpoint, key, secret] = parts[..] else {
            panic!("{variable} is not 'endpoint,key,secret'");
        };
        Some(Reached {
            server: self,
            endpoint: endpoint.to_owned(),
            key: key.to_owned(),
            secret: secret.to_owned(),
        })
    }
}

/// A server that is up, and a user of it.
#[derive(Debug, Clone)]
pub(crate) struct Reached {
    pub(crate) server: Server,
    pub(crate) endpoint: String,
    pub(crate) key: String,
    pub(crate) secret: String,
}

impl Reached {
    /// The variables that the program needs.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let Self {
            server,
            endpoint,
            key,
            secret,
        } = self.clone();
        match server {
            Server::Rgw | Server::Moto => vec![
                ("AWS_ENDPOINT", endpoint),
                ("AWS_ALLOW_HTTP", "true".to_owned()),
                ("AWS_REGION", "us-east-1".to_owned()),
                ("AWS_ACCESS_KEY_ID", key),
                ("AWS_SECRET_ACCESS_KEY", secret),
            ],
            Server::Azurite => vec![
                ("AZURE_STORAGE_ENDPOINT", endpoint),
                ("AZURE_ALLOW_HTTP", "true".to_owned()),
                ("AZURE_STORAGE_ACCOUNT_NAME", key),
                ("AZURE_STORAGE_ACCOUNT_KEY", secret),
            ],
        }
    }

    /// A lake of this name in the bucket or container that the server was made with.
    pub(crate) fn lake(&self, name: &str) -> String {
        let scheme = if self.server == Server::Azurite {
            "az"
        } else {
            "s3"
        };
        format!("{scheme}://lakes/{name}")
    }

    pub(crate) fn store(&self, lake: &str) -> Store {
        let settings: Vec<(String, String)> = self
            .variables()
            .into_iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect();
        Store::open_with(lake, &settings).unwrap()
    }

    /// Unfinished uploads below a lake, as boto3 lists them. Azure has none to list.
    pub(crate) fn unfinished(&self, lake: &str) -> Vec<String> {
        if self.server == Server::Azurite {
            return Vec::new();
        }
        let (bucket, prefix) = lake.strip_prefix("s3://").unwrap().split_once('/').unwrap();
        self.python("uploads.py", &[bucket, prefix])
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Runs a script beside this file with boto3, with the server and its user as first arguments.
    pub(crate) fn python(&self, script: &str, arguments: &[&str]) -> String {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/servers")
            .join(script);
        let python =
            std::env::var_os("MDCA_TEST_SERVERS_PYTHON").expect("tests/servers/up says it");
        let output = Command::new(python)
            .arg(script)
            .args([&self.endpoint, &self.key, &self.secret])
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }
}
