//! What the arguments name: files, patterns, folders, objects.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use object_store::path::Path as ObjectPath;

use super::fault::{InputError, InputFault};
use super::input::{Input, Place, Readable, of_file};
use crate::layout;
use crate::store::{Site, Store};

/// What stands for other letters in a pattern.
const MARKS: [char; 3] = ['*', '?', '['];

/// The argument that stands for the standard input.
pub const STDIN: &str = "-";

/// What some arguments name.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// The inputs, each once: in the order of the arguments, sorted by name inside of each.
    pub found: Vec<Input>,
    /// What folders, prefixes and patterns have beside files: links to folders and to nothing, pipes,
    /// devices, keys that no request can name.
    pub passed_over: Vec<String>,
}

impl Inputs {
    /// The object stores that they are read from.
    pub fn stores(&self) -> Vec<Store> {
        let mut stores: Vec<Store> = Vec::new();
        // Those of one store follow each other.
        for input in &self.found {
            if let Place::Readable(Readable::Object(store, _)) = &input.place
                && !stores.last().is_some_and(|last| last.counts_with(store))
            {
                stores.push(store.clone());
            }
        }
        stores
    }
}

/// Finds the inputs that some arguments name. Folders, and prefixes in object storage, are gone through
/// with all that is below them, except the lake's own. Links to folders are not followed there.
///
/// # Errors
/// An argument names nothing, a part of the lake, or what cannot be looked at.
pub async fn find_inputs(args: &[String], lake: &Site) -> Result<Inputs, InputError> {
    let folder = lake.folder().and_then(|lake| fs::canonicalize(lake).ok());
    let mut inputs = Inputs::default();
    for arg in args {
        let found = match arg.split_once("://") {
            Some((scheme, _)) if !scheme.eq_ignore_ascii_case("file") => {
                let lake = lake.store().map(Store::location);
                in_store(arg, lake.unwrap_or_default(), &mut inputs.passed_over).await
            }
            _ => on_disk(arg, folder.as_deref(), &mut inputs.passed_over),
        };
        inputs
            .found
            .extend(found.map_err(|fault| fault.of(&shown(arg)))?);
    }
    let mut places = BTreeSet::new();
    inputs.found.retain(|input| places.insert(input.identity()));
    Ok(inputs)
}

/// How messages name an argument. A URL of object storage may hold a secret, though it is refused for that.
fn shown(arg: &str) -> String {
    match arg.split_once("://") {
        Some((scheme, _)) if !scheme.eq_ignore_ascii_case("file") => Site::name(arg),
        _ => arg.to_owned(),
    }
}

fn on_disk(
    arg: &str,
    lake: Option<&Path>,
    passed_over: &mut Vec<String>,
) -> Result<Vec<Input>, InputFault> {
    if arg == STDIN {
        return Ok(vec![Input {
            name: arg.to_owned(),
            bytes: 0,
            place: Place::Stdin,
        }]);
    }
    let path = match url::Url::parse(arg) {
        Ok(url) if url.scheme() == "file" => {
            url.to_file_path().map_err(|()| InputFault::Missing)?
        }
        _ => PathBuf::from(arg),
    };
    let mut search = Search {
        lake,
        found: Vec::new(),
        passed_over,
    };
    match search.given(&path) {
        Err(InputFault::Missing) if arg.contains(MARKS) => {
            for path in matching(&path.to_string_lossy())? {
                // Who names a pipe waits for it; a pattern that meets one by chance does not.
                let kind = fs::metadata(&path);
                if kind.is_ok_and(|kind| !kind.is_file() && !kind.is_dir()) {
                    search.pass_over(&path);
                    continue;
                }
                match search.given(&path) {
                    Err(InputFault::NoFiles | InputFault::InLake) => {}
                    // A link to nothing.
                    Err(InputFault::Missing) if path.is_symlink() => search.pass_over(&path),
                    Err(InputFault::Read(_)) => search.take_unread(&path),
                    given => given?,
                }
            }
            if search.found.is_empty() {
                return Err(InputFault::NoMatch);
            }
        }
        given => given?,
    }
    Ok(search.found)
}

/// What a pattern matches, in the order of the paths.
fn matching(pattern: &str) -> Result<Vec<PathBuf>, InputFault> {
    let matching = |pattern: &str| -> Result<Vec<PathBuf>, InputFault> {
        let paths = glob::glob(pattern).map_err(InputFault::Pattern)?;
        let paths: Result<Vec<_>, _> = paths.collect();
        paths.map_err(|error| of_file(error.into()))
    };
    // All that is below; the library takes it for the folders alone.
    let whole = pattern.strip_suffix("**");
    let whole = whole.filter(|folder| folder.is_empty() || folder.ends_with('/'));
    if let Some(folder) = whole {
        let mut folders = matching(if folder.is_empty() { "." } else { folder })?;
        folders.retain(|path| path.is_dir());
        return Ok(folders);
    }
    let mut found = matching(pattern)?;
    // The library passes over names that are not UTF-8, and a mark may stand for one.
    let (folder, name) = pattern.rsplit_once('/').unwrap_or((".", pattern));
    if !name.contains(MARKS) {
        return Ok(found);
    }
    let name = glob::Pattern::new(name).map_err(InputFault::Pattern)?;
    let folder = if folder.is_empty() { "/" } else { folder };
    for folder in matching(folder)?.into_iter().filter(|path| path.is_dir()) {
        for entry in fs::read_dir(&folder).map_err(of_file)? {
            let entry = entry.map_err(of_file)?.file_name();
            if entry.to_str().is_none() && name.matches(&entry.to_string_lossy()) {
                found.push(folder.join(entry));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The name of a path: bytes that are not UTF-8 are written as `\xe4`.
fn name_of(path: &Path) -> String {
    let mut name = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        name.push_str(chunk.valid());
        let odd = chunk.invalid().iter();
        name.extend(odd.map(|byte| format!("\\x{byte:02x}")));
    }
    name
}

/// Goes through folders.
struct Search<'a> {
    lake: Option<&'a Path>,
    found: Vec<Input>,
    passed_over: &'a mut Vec<String>,
}

impl Search<'_> {
    /// Takes what an argument names.
    fn given(&mut self, path: &Path) -> Result<(), InputFault> {
        let kind = fs::metadata(path).map_err(of_file)?;
        if self.is_in_lake(path) {
            return Err(InputFault::InLake);
        }
        if !kind.is_dir() {
            let place = if kind.is_file() {
                Place::Readable(Readable::File(path.to_owned()))
            } else {
                Place::Pipe(path.to_owned())
            };
            self.take(path, kind.len(), place);
            return Ok(());
        }
        let before = self.found.len();
        self.below(path).map_err(of_file)?;
        if self.found.len() == before {
            return Err(InputFault::NoFiles);
        }
        Ok(())
    }

    /// Takes all files below a folder.
    fn below(&mut self, folder: &Path) -> io::Result<()> {
        let listed = fs::read_dir(folder)?;
        let listed: io::Result<Vec<_>> = listed
            .map(|entry| entry.map(|entry| entry.path()))
            .collect();
        let mut listed = listed?;
        listed.sort();
        for path in listed {
            if self.within(&path).is_err() {
                self.take_unread(&path);
            }
        }
        Ok(())
    }

    /// Takes what a folder has.
    fn within(&mut self, path: &Path) -> io::Result<()> {
        let is_link = fs::symlink_metadata(path)?.is_symlink();
        let kind = match fs::metadata(path) {
            Ok(kind) => kind,
            // A link to nothing.
            Err(_) if is_link => {
                self.pass_over(path);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if kind.is_dir() {
            match (self.is_in_lake(path), is_link) {
                (true, _) => {}
                (false, true) => self.pass_over(path),
                (false, false) => self.below(path)?,
            }
        } else if !kind.is_file() || layout::is_dropped_by_a_system(&path.to_string_lossy()) {
            self.pass_over(path);
        } else {
            let place = Place::Readable(Readable::File(path.to_owned()));
            self.take(path, kind.len(), place);
        }
        Ok(())
    }

    fn pass_over(&mut self, path: &Path) {
        self.passed_over.push(name_of(path));
    }

    fn take(&mut self, path: &Path, bytes: u64, place: Place) {
        self.found.push(Input {
            name: name_of(path),
            bytes,
            place,
        });
    }

    /// Takes what cannot be looked at: an input that fails by itself, and says why.
    fn take_unread(&mut self, path: &Path) {
        self.take(path, 0, Place::Readable(Readable::File(path.to_owned())));
    }

    fn is_in_lake(&self, path: &Path) -> bool {
        self.lake
            .is_some_and(|lake| fs::canonicalize(path).is_ok_and(|path| path.starts_with(lake)))
    }
}

/// An object, or all objects below a prefix, but for those of the lake at `lake`.
async fn in_store(
    url: &str,
    lake: &str,
    passed_over: &mut Vec<String>,
) -> Result<Vec<Input>, InputFault> {
    let trimmed = url.trim_end_matches('/');
    // Of a URL that is refused nothing is sent: it may hold a secret.
    let store = Store::open_input(trimmed)?;
    let object = if url.ends_with('/') {
        None
    } else {
        object(trimmed).await?
    };
    // An empty one may only stand for the folder of its name.
    let found = match object {
        Some(object) if object.bytes > 0 => vec![object],
        marker => {
            let below = below(&store, passed_over).await?;
            let strangers = store.uploads().strangers().await?.into_iter();
            passed_over.extend(strangers.map(|odd| format!("{}/{}", store.location(), odd.path)));
            if below.is_empty() {
                marker.into_iter().collect()
            } else {
                below
            }
        }
    };
    let is_any = !found.is_empty();
    let mut outside = found;
    outside.retain(|input| !lies_in(&input.name, lake));
    match (is_any, outside.is_empty()) {
        (false, _) => Err(InputFault::NoFiles),
        (true, true) => Err(InputFault::InLake),
        (true, false) => Ok(outside),
    }
}

/// The object of this URL, where there is one.
async fn object(url: &str) -> Result<Option<Input>, InputFault> {
    let scheme = url.find("://").map_or(0, |at| at + 3);
    let Some((above, name)) = url
        .rsplit_once('/')
        .filter(|(above, _)| above.len() > scheme)
    else {
        return Ok(None);
    };
    let store = Store::open_input(above)?;
    let path = ObjectPath::from_url_path(name).map_err(|_| InputFault::Missing)?;
    let found = match store.look(&path).await {
        // A refusal to look has no words; that of a listing has.
        Err(error) => {
            store.list(&path).await?;
            return Err(error.into());
        }
        Ok(found) => found,
    };
    Ok(found.map(|found| of_object(&store, path, found.size)))
}

/// All objects of a store that have bytes, but for what a system leaves.
async fn below(store: &Store, passed_over: &mut Vec<String>) -> Result<Vec<Input>, InputFault> {
    let listed = store.list(&ObjectPath::default()).await?.into_iter();
    let objects = listed
        .filter(|object| object.size > 0)
        .map(|object| of_object(store, object.location, object.size));
    let (dropped, found): (Vec<_>, Vec<_>) =
        objects.partition(|input| layout::is_dropped_by_a_system(&input.name));
    passed_over.extend(dropped.into_iter().map(|input| input.name));
    Ok(found)
}

/// Whether an object belongs to the lake at this location.
fn lies_in(object: &str, lake: &str) -> bool {
    !lake.is_empty()
        && object
            .strip_prefix(lake)
            .is_some_and(|rest| rest.is_empty() || lake.ends_with('/') || rest.starts_with('/'))
}

fn of_object(store: &Store, path: ObjectPath, bytes: u64) -> Input {
    Input {
        name: format!("{}/{path}", store.location()),
        bytes,
        place: Place::Readable(Readable::Object(store.clone(), path)),
    }
}
