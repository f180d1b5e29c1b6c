//! A scripted world to test in.

pub(crate) mod bucket;
pub(crate) mod clock;
pub(crate) mod engines;
pub(crate) mod faulty;
pub(crate) mod files;
pub(crate) mod json;
pub(crate) mod mount;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod readers;
pub(crate) mod scenario;
pub(crate) mod script;
pub(crate) mod sealed;
pub(crate) mod servers;
pub(crate) mod table;
pub(crate) mod tls_proxy;
