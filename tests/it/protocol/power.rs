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

    /// What a power cut leaves. What is not durable in a folder or a file is there all the same where
    /// `lucky` says so of its path.
    fn cut(&self, lucky: &mut dyn FnMut(&Path) -> bool) -> Rest {
        let mut rest = Rest::new();
        self.cut_below(0, &self.root, lucky, &mut rest);
        rest
    }

    fn cut_below(
        &self,
        at: usize,
        path: &Path,
        lucky: &mut dyn FnMut(&Path) -> bool,
        rest: &mut Rest,
    ) {
        match &self.nodes[at] {
            Node::File { synced, dirty } => {
                let left = match synced {
                    Some(bytes) if !dirty || lucky(path) => Left::Bytes(bytes.clone()),
                    _ => Left::Empty,
                };
                rest.insert(path.to_owned(), left);
            }
            Node::Folder { now, synced } => {
                rest.insert(path.to_owned(), Left::Folder);
                for (name, node) in if lucky(path) { now } else { synced } {
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

/// No call is met by anything.
const UNDISTURBED: (usize, &str) = (0, "");

/// Writes down the calls that change a disk.
fn watch<'p>(log: &'p Path, kept: &'p Path) -> BadDisk<'p> {
    BadDisk {
        calls: "create,write,fsync,rename,link,unlink,mkdir",
        log: Some(log),
        keep: Some(kept),
        ..BadDisk::default()
    }
}

/// A run whose calls on the disk are written down, one of which may be met by something.
fn watched_run(
    place: &Place,
    lake: &Lake<'_>,
    (at, what): (usize, &str),
) -> (Ended, Vec<DiskCall>, PathBuf) {
    let (log, kept) = (place.fresh("calls"), place.fresh("kept"));
    std::fs::create_dir(&kept).unwrap();
    let watched = BadDisk {
        at,
        what,
        ..watch(&log, &kept)
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
    let (ended, calls, kept) = watched_run(&place, &first, UNDISTURBED);
    assert_eq!(ended.code(), Some(0), "{ended}");
    first.expect_exact("undisturbed");

    let mut disk = Disk::new(first.path());
    let mut seen: Vec<Rest> = Vec::new();
    let (mut cuts, mut commits) = (0, 0);
    for call in &calls {
        disk.play(call, &kept);
        let mut rests = vec![disk.cut(&mut |_| false)];
        rests.extend((0..often(1)).map(|_| disk.cut(&mut |_| random.bool())));
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
            lake.expect_recovered(&what);
            std::fs::remove_dir_all(lake.path()).unwrap();
            seen.push(rest);
        }
    }
    // What the program has called done is durable without any further run.
    let lake = place.lake();
    make(&lake, &disk.cut(&mut |_| false), first.path());
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

/// The removals of finished work are durable, and what they rest on is not: the worst luck.
fn only_removals_last(folder: &Path) -> bool {
    let own = |name| folder.components().any(|part| part.as_os_str() == name);
    own("attempts") || own("staging")
}

/// What is left has no file that a commit names otherwise.
fn assert_whole(lake: &Lake<'_>, what: &str) {
    let verified = lake.verify();
    // What was removed may be there again, with the attempt that names it.
    for finding in verified.report()["findings"].as_array().unwrap() {
        assert_eq!(finding["what"], "foreign", "{what}: {verified}");
    }
}

/// A run dies, the next one finishes its work, and in the middle of that or after it the power
/// goes: what the dead had not yet made durable must not be what the second one builds on.
#[test]
fn a_power_cut_after_or_in_a_run_that_finishes_the_work_of_a_dead_one_costs_nothing() {
    if shim().is_none() {
        return;
    }
    let mut random = random();
    let place = Place::small();
    let (_, all, _) = watched_run(&place, &place.lake(), UNDISTURBED);
    let mut positions: Vec<usize> = (2..=all.len()).collect();
    random.shuffle(&mut positions);
    positions.truncate(often(15));
    // Where something is visible and not durable yet.
    positions.extend(all.windows(2).filter_map(|two| {
        let became_visible = ["link", "rename"].contains(&two[0].name.as_str());
        (became_visible && two[1].name == "fsync").then_some(two[1].position)
    }));
    let (mut played, mut adopted, mut cuts) = (0, 0, 0);
    for at in positions {
        let lake = place.lake();
        let (dead, calls, kept) = watched_run(&place, &lake, (at, "kill"));
        assert_eq!(dead.code(), None, "{dead}");
        let mut disk = Disk::new(lake.path());
        for call in &calls {
            disk.play(call, &kept);
        }
        let there: Vec<PathBuf> = disk.cut(&mut |_| true).into_keys().collect();
        if !there.iter().all(|path| path.exists()) {
            // It died inside a call of another thread, whose outcome was not written down.
            continue;
        }
        let what = format!("killed before call {at}");
        let (next, calls, kept) = watched_run(&place, &lake, UNDISTURBED);
        assert_eq!(next.code(), Some(0), "{what}: {next}");
        let mut last = Rest::new();
        for call in &calls {
            disk.play(call, &kept);
            let left = disk.cut(&mut only_removals_last);
            if call.name == "unlink" && left != last {
                let what = format!("{what}, the power goes after {call:?}");
                let rest = place.lake();
                make(&rest, &left, lake.path());
                rest.expect_recovered(&what);
                last = left;
                cuts += 1;
            }
        }
        adopted += next.slices("adopted");
        for luck in 0..3 {
            let rest = place.lake();
            let left = disk.cut(&mut |folder| match luck {
                0 => false,
                1 => random.bool(),
                _ => only_removals_last(folder),
            });
            make(&rest, &left, lake.path());
            assert_whole(&rest, &what);
            assert_eq!(rest.commits(), 2, "{what}");
            assert_same(&rest.exported_ids(), &place.expected_ids());
            rest.expect_recovered(&what);
        }
        played += 1;
    }
    println!("{played} runs that died and were followed by one that ended; {adopted} adopted");
    println!(
        "{cuts} power cuts in the second run, {} after it",
        3 * played
    );
    assert!(played > 15, "{played}");
}

/// Another run makes a folder and sleeps before it is durable. What this one then publishes there is
/// durable all the same.
#[test]
fn a_power_cut_costs_nothing_that_lies_in_a_folder_another_run_has_just_made() {
    if shim().is_none() {
        return;
    }
    let place = Place::small();
    let (_, all, _) = watched_run(&place, &place.lake(), UNDISTURBED);
    let made = all.iter().filter(|call| call.name == "mkdir");
    let (mut asleep, mut days) = (0, 0);
    for made in made {
        let lake = place.lake();
        let (log, kept) = (place.fresh("calls"), place.fresh("kept"));
        std::fs::create_dir(&kept).unwrap();
        let watched = BadDisk {
            at: made.position + 1,
            what: "stop",
            ..watch(&log, &kept)
        };
        let mut first = place.start(lake.scan_on(&watched).args(["--parallel", "1"]));
        if !first.stops() {
            continue;
        }
        let mut calls = calls_in(&log);
        calls.retain(|call| call.done);
        let (next, others, others_kept) = watched_run(&place, &lake, UNDISTURBED);
        let what = format!("another sleeps after {made:?}");
        assert_eq!(next.code(), Some(0), "{what}: {next}");
        let mut disk = Disk::new(lake.path());
        for call in &calls {
            disk.play(call, &kept);
        }
        for call in &others {
            disk.play(call, &others_kept);
            // Clearing up after the sleeper comes too late to make its folder durable.
            assert_commits_have_their_files(&disk.cut(&mut |_| false), lake.path(), &what);
        }
        drop(first);
        for only_removals in [false, true] {
            let rest = place.lake();
            let left = disk.cut(&mut |folder| only_removals && only_removals_last(folder));
            make(&rest, &left, lake.path());
            assert_whole(&rest, &what);
            assert_eq!(rest.commits(), 2, "{what}");
            assert_same(&rest.exported_ids(), &place.expected_ids());
        }
        asleep += 1;
        days += u32::from(made.path.to_str().unwrap().contains("event_date="));
    }
    println!("{asleep} times another run slept after it had made a folder, {days} times a day's");
    assert!(asleep > 5 && days > 1);
}

/// What a commit names is there whenever the commit is.
fn assert_commits_have_their_files(rest: &Rest, root: &Path, what: &str) {
    for (path, left) in rest {
        let (true, Left::Bytes(bytes)) = (path.starts_with(root.join("_mdca/commits")), left)
        else {
            continue;
        };
        let text = std::fs::read_to_string(bytes).unwrap();
        let commit: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        for file in commit["files"].as_array().unwrap() {
            let file = root.join(file["path"].as_str().unwrap());
            assert!(
                matches!(rest.get(&file), Some(Left::Bytes(_))),
                "{what}: {} is gone, {} is there",
                file.display(),
                path.display()
            );
        }
    }
}

/// An fsync fails, the run says so or goes on, and after it the power goes: what it called done is
/// there.
#[test]
fn a_power_cut_after_a_run_whose_fsync_failed_costs_nothing_that_it_called_done() {
    const EIO: &str = "fail 5";
    if shim().is_none() {
        return;
    }
    let place = Place::small();
    let (_, all, _) = watched_run(&place, &place.lake(), UNDISTURBED);
    let (mut failed, mut survived) = (0, 0);
    for at in all.iter().filter(|call| call.name == "fsync") {
        let what = format!("{at:?} fails");
        let lake = place.lake();
        let (ended, calls, kept) = watched_run(&place, &lake, (at.position, EIO));
        let mut disk = Disk::new(lake.path());
        for call in &calls {
            disk.play(call, &kept);
        }
        for only_removals in [false, true] {
            let rest = place.lake();
            let left = disk.cut(&mut |folder| only_removals && only_removals_last(folder));
            make(&rest, &left, lake.path());
            if ended.code() == Some(0) {
                assert_whole(&rest, &what);
                assert_eq!(rest.commits(), 2, "{what}");
                assert_same(&rest.exported_ids(), &place.expected_ids());
            }
            rest.expect_recovered(&what);
        }
        match ended.code() {
            Some(0) => survived += 1,
            _ => failed += 1,
        }
    }
    println!("{survived} runs went on after an fsync that failed, {failed} said so");
    assert!(survived > 0 && failed > 0);
}
