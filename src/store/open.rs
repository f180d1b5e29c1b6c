//! From the location of a lake to its store.

use std::path::Path;

use super::connect::{self, Settings};
use super::disk;
use super::error::StoreError;
use super::location::{Location, NothingThere};
use super::objects::Store;

/// Where a lake is or will be. Nothing is made, and nothing is sent yet.
pub struct Site {
    location: Location,
    found: Option<Store>,
}

impl Site {
    /// Looks for the store of the lake at `location`: a path or a `file://` URL, or a URL of object
    /// storage, whose settings come from the environment. A bucket is not looked for: the first
    /// request says whether it is there.
    ///
    /// # Errors
    /// The location has an unknown scheme, or is a file; the settings do not make a client.
    pub fn look(location: &str) -> Result<Self, StoreError> {
        Self::look_with(location, Settings::Environment)
    }

    fn look_with(location: &str, settings: Settings<'_>) -> Result<Self, StoreError> {
        let location = Location::parse(location)?;
        let found = match &location {
            Location::Disk(folder) => disk::open_if_there(folder)?,
            Location::Remote(remote) => Some(connect::connect(remote, settings)?),
        };
        Ok(Self { location, found })
    }

    /// How messages name `location`. Holds no secret, whatever the location is.
    pub fn name(location: &str) -> String {
        match Location::parse(location) {
            Ok(Location::Disk(folder)) => folder.display().to_string(),
            Ok(Location::Remote(remote)) => remote.shown,
            Err(refused) => refused.shown,
        }
    }

    /// The store; `None` where no folder is.
    pub fn store(&self) -> Option<&Store> {
        self.found.as_ref()
    }

    /// The folder, where it is on a disk.
    pub fn folder(&self) -> Option<&Path> {
        match &self.location {
            Location::Disk(folder) => Some(folder),
            Location::Remote(_) => None,
        }
    }

    /// The store for a run that writes: the lake's folder is made where it is missing. A bucket is
    /// not made.
    pub fn make(self) -> Result<Store, StoreError> {
        match (self.location, self.found) {
            (Location::Disk(folder), _) => disk::make(&folder),
            (Location::Remote(remote), None) => connect::connect(&remote, Settings::Environment),
            (Location::Remote(_), Some(found)) => Ok(found),
        }
    }
}

impl Store {
    /// Opens the store of a lake that is there; see [`Site::look`].
    ///
    /// # Errors
    /// As there, and nothing is there.
    pub fn open(location: &str) -> Result<Self, StoreError> {
        match Site::look(location)?.found {
            Some(store) => Ok(store),
            None => Err(StoreError::new(
                "open the lake",
                location.to_owned(),
                NothingThere,
            )),
        }
    }

    /// Opens the store at `location` as [`Store::open`] does, of objects that are only read, and are no
    /// lake's.
    pub fn open_input(location: &str) -> Result<Self, StoreError> {
        Self::open(location).map_err(|error| error.doing("open the input"))
    }

    /// Opens the store of a lake, and makes its folder where it is missing.
    pub fn make(location: &str) -> Result<Self, StoreError> {
        Site::look(location)?.make()
    }

    /// Opens a store with these settings instead of the environment's: names of variables in lower
    /// case, and values. On a disk they mean nothing.
    pub fn open_with(location: &str, settings: &[(String, String)]) -> Result<Self, StoreError> {
        Site::look_with(location, Settings::Given(settings))?.make()
    }
}
