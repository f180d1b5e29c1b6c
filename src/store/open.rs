//! From the location of a lake to its store.

use super::connect::{self, Settings};
use super::disk;
use super::error::StoreError;
use super::location::{BadLocation, Location};
use super::objects::Store;

impl Store {
    /// Opens the store of the lake at `location`: a path or a `file://` URL, or a URL of object
    /// storage, whose settings come from the environment. Nothing is sent yet.
    ///
    /// # Errors
    /// The location has an unknown scheme, is a file, or nothing is there; the settings do not make
    /// a client.
    pub fn open(location: &str) -> Result<Self, StoreError> {
        match Self::open_if_there(location)? {
            Some(store) => Ok(store),
            None => Err(StoreError::new(
                "open the lake",
                location.to_owned(),
                BadLocation("nothing is there".to_owned()),
            )),
        }
    }

    /// Like [`Store::open`]; `None` where no folder is. A bucket is not looked for: the first
    /// request says whether it is there.
    pub fn open_if_there(location: &str) -> Result<Option<Self>, StoreError> {
        match Location::parse(location)? {
            Location::Disk(folder) => disk::open_if_there(&folder),
            Location::Remote(remote) => connect::connect(&remote, Settings::Environment).map(Some),
        }
    }

    /// Opens the store at `location` for a run that writes, making the lake's folder where it is
    /// missing. A bucket is not made: the store that [`Store::open_if_there`] `found` serves on.
    pub fn make(location: &str, found: Option<Self>) -> Result<Self, StoreError> {
        match (Location::parse(location)?, found) {
            (Location::Disk(folder), _) => disk::make(&folder),
            (Location::Remote(_), Some(found)) => Ok(found),
            (Location::Remote(remote), None) => connect::connect(&remote, Settings::Environment),
        }
    }

    /// Opens a store with these settings instead of the environment's: names of variables in lower
    /// case, and values. On a disk they mean nothing.
    pub fn open_with(location: &str, settings: &[(String, String)]) -> Result<Self, StoreError> {
        match Location::parse(location)? {
            Location::Disk(folder) => disk::make(&folder),
            Location::Remote(remote) => connect::connect(&remote, Settings::Given(settings)),
        }
    }
}
