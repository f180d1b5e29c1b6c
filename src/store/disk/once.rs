//! Three ways to give a file a name that nothing has. Not every disk knows each: exFAT, many network
//! disks and file systems in user space have no hard links.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{AtFlags, RenameFlags};
use rustix::io::Errno;

use super::place::{self, Place};
use crate::store::error::CannotCreate;

/// A way to name a file once: whether nothing had the name before.
type Way = fn(&Place, &Place) -> io::Result<()>;

/// The ways, the best first, with what they are called in messages.
const WAYS: [(&str, Way); 3] = [
    ("hard links", by_link),
    ("a rename that replaces nothing", by_rename),
    ("a file that is made only once", by_claim),
];

/// Names files once, in the first way that this disk knows.
#[derive(Debug, Default)]
pub(super) struct Once {
    /// The way that worked last.
    way: AtomicUsize,
}

impl Once {
    /// Gives the file `from` the name `to`; false where something has it.
    pub(super) fn name(&self, from: &Place, to: &Place) -> io::Result<bool> {
        let first = self.way.load(Ordering::Relaxed);
        let mut refused = Vec::new();
        for (at, (what, way)) in WAYS.iter().enumerate().skip(first) {
            let outcome = match way(from, to) {
                Err(error) if cannot_name(&error) => {
                    refused.push(format!("{what} ({error})"));
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                outcome => outcome.map(|()| true),
            };
            if outcome.is_ok() {
                self.way.store(at, Ordering::Relaxed);
            }
            return outcome;
        }
        let refused = refused.join(", ");
        Err(io::Error::other(CannotCreate { refused }))
    }
}

/// A disk that knows no links says that the operation is not permitted, or that a file has too many.
fn cannot_name(error: &io::Error) -> bool {
    let link = [Errno::PERM, Errno::MLINK];
    place::cannot(error) || Errno::from_io_error(error).is_some_and(|error| link.contains(&error))
}

fn by_link(from: &Place, to: &Place) -> io::Result<()> {
    let flags = AtFlags::empty();
    rustix::fs::linkat(&from.folder, &from.name, &to.folder, &to.name, flags)?;
    Ok(())
}

fn by_rename(from: &Place, to: &Place) -> io::Result<()> {
    let flags = RenameFlags::NOREPLACE;
    rustix::fs::renameat_with(&from.folder, &from.name, &to.folder, &to.name, flags)?;
    Ok(())
}

/// Makes an empty file of that name, which succeeds for one alone, and replaces it by the whole one.
/// Who dies between the two leaves an empty object, which is damage and is never taken for another.
fn by_claim(from: &Place, to: &Place) -> io::Result<()> {
    drop(to.create()?);
    let renamed = from.rename(to);
    if renamed.is_err() {
        // Ours, and empty. If it stays it is as if this process had died.
        let _ = to.remove_file();
    }
    renamed
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Barrier;

    use super::*;
    use crate::store::disk::tree::Tree;

    /// Each way that this machine's disk knows, on its own: of sixteen at once one succeeds, and what
    /// is there is whole.
    #[test]
    fn in_each_way_one_of_sixteen_names_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::open(folder.path().canonicalize().unwrap()).unwrap();
        for first in 0..WAYS.len() {
            let (once, all_there) = (Once::default(), Barrier::new(16));
            once.way.store(first, Ordering::Relaxed);
            let target = format!("target-{first}");
            let name = |writer: usize| {
                let from = tree.made_place(&format!("{first}-{writer}")).unwrap();
                let bytes = vec![u8::try_from(writer).unwrap(); 9_999];
                from.create().unwrap().write_all(&bytes).unwrap();
                let to = tree.place(&target).unwrap();
                all_there.wait();
                once.name(&from, &to).unwrap()
            };
            let winners: Vec<usize> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..16)
                    .map(|writer| {
                        let name = &name;
                        scope.spawn(move || name(writer))
                    })
                    .collect();
                let ended = threads.into_iter().map(|thread| thread.join().unwrap());
                (0..16)
                    .zip(ended)
                    .filter_map(|(writer, won)| won.then_some(writer))
                    .collect()
            });
            let [winner] = winners.as_slice() else {
                panic!("{first}: {winners:?}");
            };
            let bytes = std::fs::read(folder.path().join(&target)).unwrap();
            let same = bytes.iter().all(|byte| usize::from(*byte) == *winner);
            assert!(same && bytes.len() == 9_999, "{first}");
        }
    }
}
