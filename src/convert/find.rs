//! What the arguments name: files, patterns, folders, objects.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use object_store::path::Path as ObjectPath;

use super::fault::{InputError, InputFault};
use super::input::{Input, Place, Readable, of_file};
use crate::layout;
use crate::store::Store;

/// What stands for other letters in a pattern.
const MARKS: [char; 3] = ['*', '?', '['];

/// The argument that stands for the standard input.
pub const STDIN: &str = "-";

/// Finds the inputs that some arguments name, each once: in the order of the arguments, sorted by name
/// inside of each. Folders are gone through with all that is below them, except the lake's own, which
/// lies at `lake` where it is on a disk. Links to folders are not followed there.
///
/// # Errors
/// An argument names nothing, or what cannot be looked at.
pub async fn find_inputs(args: &[String], lake: Option<&Path>) -> Result<Vec<Input>, InputError> {
    let lake = lake.and_then(|lake| fs::canonicalize(lake).ok());
    let mut inputs: Vec<Input> = Vec::new();
    for arg in args {
        let found = match arg.split_once("://") {
            Some((scheme, _)) if !scheme.eq_ignore_ascii_case("file") => in_store(arg).await,
            _ => on_disk(arg, lake.as_deref()),
        };
        inputs.extend(found.map_err(|fault| fault.of(arg))?);
    }
    let mut places = BTreeSet::new();
    inputs.retain(|input| places.insert(input.identity()));
    Ok(inputs)
}

fn on_disk(arg: &str, lake: Option<&Path>) -> Result<Vec<Input>, InputFault> {
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
    };
    match search.given(&path) {
        Err(InputFault::Missing) if arg.contains(MARKS) => {
            for path in matching(&path.to_string_lossy())? {
                // Who names a pipe waits for it; a pattern that meets one by chance does not.
                let kind = fs::metadata(&path);
                if kind.is_ok_and(|kind| !kind.is_file() && !kind.is_dir()) {
                    continue;
                }
                match search.given(&path) {
                    Err(InputFault::NoFiles | InputFault::InLake) => {}
                    // A link to nothing.
                    Err(InputFault::Missing) if path.is_symlink() => {}
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
        self.below(path)?;
        if self.found.len() == before {
            return Err(InputFault::NoFiles);
        }
        Ok(())
    }

    /// Takes all files below a folder.
    fn below(&mut self, folder: &Path) -> Result<(), InputFault> {
        let listed = fs::read_dir(folder).map_err(of_file)?;
        let listed: Result<Vec<_>, _> = listed
            .map(|entry| entry.map(|entry| entry.path()))
            .collect();
        let mut listed = listed.map_err(InputFault::Read)?;
        listed.sort();
        for path in listed {
            let is_link = fs::symlink_metadata(&path).map_err(of_file)?.is_symlink();
            let kind = match fs::metadata(&path) {
                Ok(kind) => kind,
                // A link to nothing.
                Err(_) if is_link => continue,
                Err(error) => return Err(of_file(error)),
            };
            if kind.is_dir() && !is_link && !self.is_in_lake(&path) {
                self.below(&path)?;
            } else if kind.is_file() && !layout::is_dropped_by_a_system(&path.to_string_lossy()) {
                self.take(
                    &path,
                    kind.len(),
                    Place::Readable(Readable::File(path.clone())),
                );
            }
        }
        Ok(())
    }

    fn take(&mut self, path: &Path, bytes: u64, place: Place) {
        self.found.push(Input {
            name: name_of(path),
            bytes,
            place,
        });
    }

    fn is_in_lake(&self, path: &Path) -> bool {
        self.lake
            .is_some_and(|lake| fs::canonicalize(path).is_ok_and(|path| path.starts_with(lake)))
    }
}

/// An object, or all objects below a prefix.
async fn in_store(url: &str) -> Result<Vec<Input>, InputFault> {
    let trimmed = url.trim_end_matches('/');
    let scheme = trimmed.find("://").map_or(0, |at| at + 3);
    if let Some((above, name)) = trimmed
        .rsplit_once('/')
        .filter(|(above, _)| above.len() > scheme)
        && !url.ends_with('/')
    {
        let store = Store::open_input(above)?;
        let path = ObjectPath::from_url_path(name).map_err(|_| InputFault::Missing)?;
        if let Some(found) = store.look(&path).await? {
            return Ok(vec![of_object(&store, path, found.size)]);
        }
    }
    let store = Store::open_input(trimmed)?;
    let listed = store.list(&ObjectPath::default()).await?.into_iter();
    let objects = listed.filter(|object| {
        let path = object.location.as_ref();
        object.size > 0 && !layout::is_dropped_by_a_system(path)
    });
    let found: Vec<Input> = objects
        .map(|object| of_object(&store, object.location, object.size))
        .collect();
    if found.is_empty() {
        return Err(InputFault::NoFiles);
    }
    Ok(found)
}

fn of_object(store: &Store, path: ObjectPath, bytes: u64) -> Input {
    Input {
        name: format!("{}/{path}", store.location()),
        bytes,
        place: Place::Readable(Readable::Object(store.clone(), path)),
    }
}
