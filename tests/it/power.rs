//! Power cuts. A run's calls on the disk are written down and played back on a model that knows what
//! a disk has promised to keep: the bytes of a file after its fsync, the names in a folder after the
//! folder's. After each call the power goes, a lake is made of what is left, and the next run has to
//! make it whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::process::{
    BadDisk, DiskCall, Ended, Lake, Place, calls_in, often, random, shim,
};
use crate::support::scenario::{assert_same, files_below};

/// A disk: what is there now, and what would still be there after a power cut.
struct Disk {
    root: PathBuf,
    nodes: Vec<Node>,
}

enum Node {
    File {
        /// Where the bytes are that a fsync made durable, if one did.
        synced: Option<PathBuf>,
        /// Whether it was written since.
        dirty: bool,
    },
    Folder {
        now: BTreeMap<String, usize>,
        synced: BTreeMap<String, usize>,
    },
}

impl Node {
    fn folder() -> Self {
        Self::Folder {
            now: BTreeMap::new(),
            synced: BTreeMap::new(),
        }
    }
}

/// What is left: every path and what is there.
type Rest = BTreeMap<PathBuf, Left>;

#[derive(Clone, Debug, PartialEq)]
enum Left {
    Folder,
    Empty,
    /// These bytes.
    Bytes(PathBuf),
}

impl Disk {
    fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            nodes: vec![Node::folder()],
        }
    }

    fn find(&self, path: &Path) -> usize {
        let names = path.strip_prefix(&self.root).unwrap();
        names.iter().fold(0, |at, name| {
            let Node::Folder { now, .. } = &self.nodes[at] else {
                panic!("{} goes through a file", path.display());
            };
            *now.get(name.to_str().unwrap())
                .unwrap_or_else(|| panic!("{} is not there", path.display()))
        })
    }

    /// The names in a path's folder, and its own.
    fn entry(&mut self, path: &Path) -> (&mut BTreeMap<String, usize>, String) {
        let folder = self.find(path.parent().unwrap());
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        match &mut self.nodes[folder] {
            Node::Folder { now, .. } => (now, name),
            Node::File { .. } => panic!("{} lies in a file", path.display()),
        }
    }

    fn add(&mut self, path: &Path, node: Node) {
        self.nodes.push(node);
        let new = self.nodes.len() - 1;
        let (names, name) = self.entry(path);
        names.insert(name, new);
    }

    fn play(&mut self, call: &DiskCall, kept: &Path) {
        let DiskCall { path, to, .. } = call;
        if path == &self.root && call.name == "mkdir" {
            return;
        }
        match call.name.as_str() {
            "create" => {
                let (names, name) = self.entry(path);
                let there = names.contains_key(&name);
                assert!(!there, "{} is written over", path.display());
                self.add(
                    path,
                    Node::File {
                        synced: None,
                        dirty: false,
                    },
                );
            }
            "mkdir" => self.add(path, Node::folder()),
            "write" => {
                let at = self.find(path);
                if let Node::File { dirty, .. } = &mut self.nodes[at] {
                    *dirty = true;
                }
            }
            "fsync" => {
                let at = self.find(path);
                match &mut self.nodes[at] {
                    Node::File { synced, dirty } => {
                        let bytes = kept.join(call.position.to_string());
                        (*synced, *dirty) = (Some(bytes), false);
                    }
                    Node::Folder { now, synced } => synced.clone_from(now),
                }
            }
            "rename" | "link" => {
                let at = self.find(path);
                if call.name == "rename" {
                    let (names, name) = self.entry(path);
                    names.remove(&name);
                }
                let (names, name) = self.entry(to);
                names.insert(name, at);
            }
            "unlink" => {
                let (names, name) = self.entry(path);
                names.remove(&name);
            }
            other => panic!("{other} is not played"),
        }
    }

    /// What a power cut leaves. What is not durable is there all the same where `lucky` says so.
    fn cut(&self, lucky: &mut dyn FnMut() -> bool) -> Rest {
        let mut rest = Rest::new();
        self.cut_below(0, &self.root, lucky, &mut rest);
        rest
    }

    fn cut_below(&self, at: usize, path: &Path, lucky: &mut dyn FnMut() -> bool, rest: &mut Rest) {
        match &self.nodes[at] {
            Node::File { synced, dirty } => {
                let left = match synced {
                    Some(bytes) if !dirty || lucky() => Left::Bytes(bytes.clone()),
                    _ => Left::Empty,
                };
                rest.insert(path.to_owned(), left);
            }
            Node::Folder { now, synced } => {
                rest.insert(path.to_owned(), Left::Folder);
                for (name, node) in if lucky() { now } else { synced } {
                    self.cut_below(*node, &path.join(name), lucky, rest);
                }
            }
        }
    }
}

/// Makes a lake of what is left.
fn make(lake: &Lake<'_>, rest: &Rest, root: &Path) {
    for (path, left) in rest {
        let target = lake.path().join(path.strip_prefix(root).unwrap());
        match left {
            Left::Folder => std::fs::create_dir(target).unwrap(),
            Left::Empty => std::fs::write(target, "").unwrap(),
            Left::Bytes(bytes) => {
                std::fs::copy(bytes, target).unwrap();
            }
        }
    }
}

/// A run whose calls on the disk are written down, and may end before one of them.
fn watched_run(
    place: &Place,
    lake: &Lake<'_>,
    killed_at: usize,
) -> (Ended, Vec<DiskCall>, PathBuf) {
    let (log, kept) = (place.fresh("calls"), place.fresh("kept"));
    std::fs::create_dir(&kept).unwrap();
    let watched = BadDisk {
        calls: "create,write,fsync,rename,link,unlink,mkdir",
        at: killed_at,
        what: "kill",
        log: Some(&log),
        keep: Some(&kept),
        ..BadDisk::default()
    };
    let ended = place.run(lake.scan_on(&watched).args(["--parallel", "1"]));
    let mut calls = calls_in(&log);
    calls.retain(|call| call.done);
    (ended, calls, kept)
}

/// After each call on the disk the power goes, and takes all that it may, or some of it.
#[test]
fn a_power_cut_at_any_moment_costs_nothing_that_was_committed() {
    if shim().is_none() {
        return;
    }
    let mut random = random();
    let place = Place::small();
    let first = place.lake();
    let (ended, calls, kept) = watched_run(&place, &first, 0);
    assert_eq!(ended.code(), Some(0), "{ended}");
    first.expect_exact("undisturbed");

    let mut disk = Disk::new(first.path());
    let mut seen: Vec<Rest> = Vec::new();
    let (mut cuts, mut commits) = (0, 0);
    for call in &calls {
        disk.play(call, &kept);
        let mut rests = vec![disk.cut(&mut || false)];
        rests.extend((0..often(1)).map(|_| disk.cut(&mut || random.bool())));
        for (number, rest) in rests.into_iter().enumerate() {
            if seen.contains(&rest) {
                continue;
            }
            let what = format!("the power goes after {call:?}, rest {number}");
            let lake = place.lake();
            make(&lake, &rest, first.path());
            cuts += 1;
            if lake.commits() > 0 {
                // What is committed is whole, whatever the power took.
                let verified = lake.verify();
                let findings = verified.report()["findings"].clone();
                for finding in findings.as_array().unwrap() {
                    assert_eq!(finding["what"], "foreign", "{what}: {verified}");
                }
                if number == 0 {
                    // A commit that is durable stays so.
                    assert!(lake.commits() >= commits, "{what}");
                    commits = lake.commits();
                }
            }
            lake.expect_mended(&what);
            std::fs::remove_dir_all(lake.path()).unwrap();
            seen.push(rest);
        }
    }
    // What the program has called done is durable without any further run.
    let lake = place.lake();
    make(&lake, &disk.cut(&mut || false), first.path());
    assert_eq!(lake.commits(), first.commits());
    assert_same(&lake.exported_ids(), &place.expected_ids());
    let visible = |lake: &Lake<'_>| files_below(&lake.path().join("activities")).len();
    assert_eq!(visible(&lake), visible(&first));
    println!(
        "{} calls on the disk, {cuts} different rests after a power cut",
        calls.len()
    );
    assert!(cuts > 50, "{cuts}");
}

/// A run dies, the next one finishes its work, and then the power goes: what the dead had not yet
/// made durable must not be what the second one builds on.
#[test]
fn a_power_cut_after_a_run_that_finished_the_work_of_a_dead_one_costs_nothing() {
    if shim().is_none() {
        return;
    }
    let mut random = random();
    let place = Place::small();
    let (_, all, _) = watched_run(&place, &place.lake(), 0);
    let mut positions: Vec<usize> = (2..=all.len()).collect();
    random.shuffle(&mut positions);
    positions.truncate(often(30));
    let (mut played, mut adopted) = (0, 0);
    for at in positions {
        let lake = place.lake();
        let (dead, mut calls, kept) = watched_run(&place, &lake, at);
        assert_eq!(dead.code(), None, "{dead}");
        let mut disk = Disk::new(lake.path());
        calls.drain(..).for_each(|call| disk.play(&call, &kept));
        let there: Vec<PathBuf> = disk.cut(&mut || true).into_keys().collect();
        if !there.iter().all(|path| path.exists()) {
            // It died inside a call of another thread, whose outcome was not written down.
            continue;
        }
        let what = format!("killed before call {at}");
        let (next, calls, kept) = watched_run(&place, &lake, 0);
        assert_eq!(next.code(), Some(0), "{what}: {next}");
        for call in &calls {
            disk.play(call, &kept);
        }
        adopted += next.slices("adopted");
        for lucky in [false, true] {
            let rest = place.lake();
            let left = disk.cut(&mut || lucky && random.bool());
            make(&rest, &left, lake.path());
            // What was removed may be there again, with the attempt that names it.
            let verified = rest.verify();
            for finding in verified.report()["findings"].as_array().unwrap() {
                assert_eq!(finding["what"], "foreign", "{what}: {verified}");
            }
            assert_eq!(rest.commits(), 2, "{what}");
            assert_same(&rest.exported_ids(), &place.expected_ids());
            rest.expect_mended(&what);
        }
        played += 1;
    }
    println!("{played} power cuts after a run that died and one that ended; {adopted} adopted");
    assert!(played > 15, "{played}");
}
