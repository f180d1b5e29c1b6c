//! The contract of a store, kept by memory, by a disk and by every server that is up.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use mdca_lake::clock::Clock;
use mdca_lake::commit::{CommitError, Identity, LakeSource};
use mdca_lake::store::{Creation, PART_BYTES, Store, StoreErrorKind, Upload};
use mdca_lake::text::plain::chain;
use object_store::ObjectMeta;
use object_store::path::Path;
use serde_json::Map;
use tempfile::TempDir;

use crate::support::bucket::{Bucket, CreateOnly};
use crate::support::clock::TestClock;
use crate::support::scenario::files_below;
use crate::support::servers::{Reached, Server};

const SLICE: &str = "20261119T1000Z-20261119T1100Z";
const OTHER: &str = "20261119T1100Z-20261119T1200Z";
const MIB: usize = 1024 * 1024;
/// More than any object here has.
const MOST: u64 = 64 * 1024 * 1024;

/// An empty lake somewhere.
struct Place {
    name: String,
    store: Store,
    kind: Kind,
}

enum Kind {
    Memory(Arc<Bucket>),
    Disk(TempDir),
    Server(Reached, String),
}

impl Place {
    /// What of unfinished uploads there is, by somebody else's account.
    fn unfinished(&self) -> Vec<String> {
        match &self.kind {
            Kind::Memory(bucket) => bucket.unfinished(),
            Kind::Disk(folder) => files_below(&folder.path().join("_mdca/staging"))
                .iter()
                .map(|path| path.display().to_string())
                .collect(),
            Kind::Server(server, lake) => server.unfinished(lake),
        }
    }

    /// Whether unfinished uploads can be swept: Azure's blocks expire by themselves, and moto, which
    /// checks signatures, does not know those in a URL.
    fn sweeps(&self) -> bool {
        !matches!(&self.kind, Kind::Server(reached, _) if reached.server != Server::Rgw)
    }

    /// Removes what was begun of a slice and not ended: as clearing up does on a disk, and as verify
    /// does in object storage.
    async fn sweep(&self, slice: &str) {
        self.store.uploads().sweep(slice).await.unwrap();
        for upload in self.store.uploads().unfinished().await {
            if upload.path.as_ref().contains(slice) {
                assert!(self.store.uploads().abort(&upload).await);
            }
        }
    }

    async fn begin(&self, slice: &str, attempt: &str) -> (Path, Box<dyn Upload>) {
        let path = Path::from(format!(
            "activities/event_date=2026-11-19/{slice}-{attempt}-0.parquet"
        ));
        let begun = self.store.uploads().begin(&path, slice, attempt).await;
        (path, begun.unwrap())
    }
}

fn places() -> Vec<Place> {
    let bucket = Bucket::new(CreateOnly::Honoured);
    let folder = tempfile::tempdir().unwrap();
    let mut places = vec![
        Place {
            name: "memory".to_owned(),
            store: bucket.store(PART_BYTES),
            kind: Kind::Memory(bucket),
        },
        Place {
            name: "disk".to_owned(),
            store: Store::make(folder.path().to_str().unwrap()).unwrap(),
            kind: Kind::Disk(folder),
        },
    ];
    for server in Server::ALL.into_iter().filter_map(Server::up) {
        // moto, which checks signatures, cannot list below a name with a space.
        let space = if server.server == Server::Moto {
            "-"
        } else {
            " "
        };
        let lake = server.lake(&format!("a{space}lake/{:016x}", fastrand::u64(..)));
        places.push(Place {
            name: format!("{:?}", server.server),
            store: server.store(&lake),
            kind: Kind::Server(server, lake),
        });
    }
    places
}

/// Bytes that differ from place to place.
fn bytes(length: usize) -> Bytes {
    let mut random = fastrand::Rng::with_seed(length as u64);
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn small_objects_are_put_read_listed_and_deleted() {
    for Place { name, store, .. } in places() {
        println!("{name}");
        let folder = Path::from("_mdca/runs");
        let path = Path::from("_mdca/runs/20261119T1000Z=1 é.json");
        assert_eq!(store.get(&path, MOST).await.unwrap(), None);
        assert_eq!(store.size(&path).await.unwrap(), None);
        assert_eq!(store.checksum(&path, 11).await.unwrap(), None);
        assert_eq!(store.list(&folder).await.unwrap(), []);
        store.delete(&path).await.unwrap();

        store.put(&path, bytes(10)).await.unwrap();
        store.put(&path, bytes(11)).await.unwrap();
        assert_eq!(store.get(&path, MOST).await.unwrap(), Some(bytes(11)));
        assert_eq!(store.size(&path).await.unwrap(), Some(11));
        let (size, checksum) = store.checksum(&path, 11).await.unwrap().unwrap();
        let length = checksum.map(|checksum| checksum.len());
        assert_eq!((size, length), (11, Some("sha256:".len() + 64)));
        // Of another size it is not read.
        let other = store.checksum(&path, 12).await.unwrap();
        assert_eq!(other, Some((11, None)));

        let beside = Path::from("_mdca/runs-not/x.json");
        store.put(&beside, bytes(0)).await.unwrap();
        assert_eq!(store.get(&beside, MOST).await.unwrap(), Some(bytes(0)));
        let first = Path::from("_mdca/runs/20261119T0900Z/deep.json");
        store.put(&first, bytes(1)).await.unwrap();
        let listed: Vec<Path> = store
            .list(&folder)
            .await
            .unwrap()
            .into_iter()
            .map(|object| object.location)
            .collect();
        assert_eq!(listed, [first.clone(), path.clone()]);

        for path in [&path, &first, &beside, &path] {
            store.delete(path).await.unwrap();
        }
        assert_eq!(store.list(&folder).await.unwrap(), []);
        assert_eq!(store.get(&path, MOST).await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_listing_is_whole_or_its_end() {
    const OBJECTS: usize = 1_100; // more than one page of S3
    for Place { name, store, .. } in places() {
        println!("{name}");
        let path = |n: usize| Path::from(format!("_mdca/commits/{n:04}.json"));
        for some in (0..OBJECTS).collect::<Vec<_>>().chunks(20) {
            let puts = some.iter().map(|n| {
                let path = path(*n);
                let store = &store;
                async move { store.put(&path, Bytes::from_static(b"{}")).await }
            });
            for put in join_all(puts).await {
                put.unwrap();
            }
        }
        let folder = Path::from("_mdca/commits");
        let expect = |listed: Vec<ObjectMeta>, first: usize| {
            let listed = listed.into_iter().map(|object| object.location);
            assert!(listed.eq((first..OBJECTS).map(path)), "from {first}");
        };
        expect(store.list(&folder).await.unwrap(), 0);
        // The end is enough where it has as many as are asked for.
        let behind = path(1_039);
        for (least, first) in [(60, 1_040), (61, 0)] {
            let last = store.list_last(&folder, &behind, least).await.unwrap();
            expect(last, first);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_sixteen_writers_one_creates() {
    const ROUNDS: usize = 6;
    for Place { name, store, .. } in places() {
        println!("{name}");
        for round in 0..ROUNDS {
            let path = Path::from(format!("_mdca/commits/{round}.json"));
            let writers = (0..16).map(|writer: usize| {
                let (store, path) = (store.clone(), path.clone());
                tokio::spawn(async move { store.create(&path, bytes(100 + writer)).await })
            });
            let outcomes: Vec<Creation> = join_all(writers)
                .await
                .into_iter()
                .map(|outcome| outcome.unwrap().unwrap())
                .collect();
            let won = |outcome: &Creation| *outcome == Creation::Created;
            assert_eq!(outcomes.iter().filter(|outcome| won(outcome)).count(), 1);
            let winner = outcomes.iter().position(won).unwrap();
            assert_eq!(
                store.get(&path, MOST).await.unwrap(),
                Some(bytes(100 + winner))
            );
            let late = store.create(&path, bytes(1)).await.unwrap();
            assert_eq!(late, Creation::Existed);
        }
    }
}

/// Ceph answers a removal of many objects at once with an error for one that somebody else is just
/// writing or removing; that of a single object it lets pass.
#[tokio::test(flavor = "multi_thread")]
async fn writing_and_removing_one_object_at_once_succeeds() {
    const ROUNDS: usize = 12;
    for Place { name, store, .. } in places() {
        println!("{name}");
        let path = Path::from("_mdca/attempts/slice/attempt.json");
        for _ in 0..ROUNDS {
            let all = (0..16).map(|n| {
                let (store, path) = (store.clone(), path.clone());
                tokio::spawn(async move {
                    if n % 2 == 0 {
                        store.put(&path, bytes(1000)).await?;
                    }
                    store.delete(&path).await
                })
            });
            for done in join_all(all).await {
                done.unwrap().unwrap();
            }
            assert_eq!(store.size(&path).await.unwrap(), None);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_any_size_is_invisible_until_it_is_published() {
    for place in places() {
        let store = &place.store;
        for (n, size) in [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 20 * MIB]
            .into_iter()
            .enumerate()
        {
            println!("{}: {size} bytes", place.name);
            let (path, mut upload) = place.begin(SLICE, &format!("a{n}")).await;
            let whole = bytes(size);
            for piece in whole.chunks(MIB + 7) {
                upload.write(whole.slice_ref(piece)).await.unwrap();
            }
            upload.seal().await.unwrap();
            let activities = Path::from("activities");
            let visible = store.list(&activities).await.unwrap().len();
            assert_eq!(visible, n, "visible before it is published");
            assert_eq!(store.size(&path).await.unwrap(), None);
            upload.publish().await.unwrap();
            assert_eq!(store.size(&path).await.unwrap(), Some(size as u64));
            assert!(
                store.get(&path, MOST).await.unwrap() == Some(whole),
                "other bytes"
            );
        }
        assert_eq!(place.unfinished(), Vec::<String>::new(), "{}", place.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_read_only_if_it_is_as_small_as_asked() {
    for Place { name, store, .. } in places() {
        println!("{name}");
        let path = Path::from("_mdca/lake.json");
        store.put(&path, bytes(1_000)).await.unwrap();
        assert_eq!(store.get(&path, 1_000).await.unwrap(), Some(bytes(1_000)));
        let error = store.get(&path, 999).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unfit);
        let said = chain(&error);
        assert!(
            said.contains("has 1000 bytes") && said.contains("more than the 999"),
            "{said}"
        );
        assert!(said.contains("_mdca/lake.json"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_upload_leaves_nothing() {
    for place in places() {
        println!("{}", place.name);
        for (n, (size, seal)) in [(0, false), (100, true), (9 * MIB, false), (17 * MIB, true)]
            .into_iter()
            .enumerate()
        {
            let (path, mut upload) = place.begin(SLICE, &format!("a{n}")).await;
            upload.write(bytes(size)).await.unwrap();
            if seal {
                upload.seal().await.unwrap();
            }
            upload.abort().await;
            assert_eq!(place.store.size(&path).await.unwrap(), None);
        }
        assert_eq!(
            place.store.list(&Path::from("activities")).await.unwrap(),
            []
        );
        assert_eq!(place.unfinished(), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_process_was_uploading_is_swept_with_its_slice_alone() {
    for place in places() {
        println!("{}", place.name);
        let uploads = place.store.uploads();
        for slice in [SLICE, OTHER] {
            for attempt in ["dead1", "dead2"] {
                let (_, mut upload) = place.begin(slice, attempt).await;
                upload.write(bytes(9 * MIB)).await.unwrap();
                if attempt == "dead2" {
                    upload.seal().await.unwrap();
                }
            }
        }
        assert_eq!(
            place.store.list(&Path::from("activities")).await.unwrap(),
            []
        );
        if !place.sweeps() {
            // Nothing fails for it, and nothing is taken for swept.
            assert_eq!(uploads.leftovers().await.unwrap(), Vec::<String>::new());
            assert_eq!(uploads.unfinished().await, []);
            continue;
        }
        assert_eq!(place.unfinished().len(), 4);
        let left = uploads.leftovers().await.unwrap();
        let is_disk = matches!(place.kind, Kind::Disk(_));
        assert_eq!(left, if is_disk { vec![SLICE, OTHER] } else { vec![] });
        assert_eq!(
            uploads.unfinished().await.len(),
            if is_disk { 0 } else { 4 }
        );
        place.sweep(SLICE).await;
        place.sweep(SLICE).await;
        let left: BTreeSet<String> = place.unfinished().into_iter().collect();
        assert_eq!(left.len(), 2);
        assert!(left.iter().all(|path| path.contains(OTHER)), "{left:?}");
        place.sweep(OTHER).await;
        assert_eq!(place.unfinished(), Vec::<String>::new());
        assert_eq!(uploads.leftovers().await.unwrap(), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_sweeps_of_one_slice_at_once_leave_nothing() {
    for place in places().into_iter().filter(Place::sweeps).map(Arc::new) {
        println!("{}", place.name);
        for attempt in 0..4 {
            let (_, mut upload) = place.begin(SLICE, &format!("dead{attempt}")).await;
            upload.write(bytes(9 * MIB)).await.unwrap();
        }
        assert_eq!(place.unfinished().len(), 4);
        let sweepers = (0..16).map(|_| {
            let place = Arc::clone(&place);
            tokio::spawn(async move { place.sweep(SLICE).await })
        });
        for swept in join_all(sweepers).await {
            swept.unwrap();
        }
        assert_eq!(place.unfinished(), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_was_swept_away_cannot_be_published() {
    for place in places().into_iter().filter(Place::sweeps) {
        println!("{}", place.name);
        let (path, mut upload) = place.begin(SLICE, "slow").await;
        upload.write(bytes(9 * MIB)).await.unwrap();
        upload.seal().await.unwrap();
        place.sweep(SLICE).await;
        upload.publish().await.unwrap_err();
        assert_eq!(place.store.size(&path).await.unwrap(), None);
    }
}

fn identity() -> Identity {
    Identity::new(
        LakeSource::Scan,
        "host".to_owned(),
        "created".to_owned(),
        Map::new(),
        60,
        1,
        0,
    )
}

async fn make_lake(store: &Store) -> Result<Identity, CommitError> {
    let clock: &dyn Clock = &TestClock::at(0);
    identity().create(store, clock).await
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_that_create_only_are_told_from_those_that_do_not() {
    for Place { name, store, .. } in places() {
        println!("{name}");
        make_lake(&store).await.unwrap();
        Identity::check_create_only(&store).await.unwrap();
        assert_eq!(Identity::load(&store).await.unwrap(), Some(identity()));
    }

    let overwrites = Bucket::new(CreateOnly::Ignored).store(PART_BYTES);
    make_lake(&overwrites).await.unwrap();
    let error = Identity::check_create_only(&overwrites).await.unwrap_err();
    assert!(matches!(error, CommitError::CreateNotHonoured { .. }));
    assert_eq!(Identity::load(&overwrites).await.unwrap(), Some(identity()));

    let cannot = Bucket::new(CreateOnly::NotImplemented).store(PART_BYTES);
    let CommitError::Store(error) = make_lake(&cannot).await.unwrap_err() else {
        panic!("not an error of the store");
    };
    assert_eq!(error.kind(), StoreErrorKind::CreateOnly);
    assert!(error.advice().contains("--single-writer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_writer_creates_once_in_any_store() {
    for create_only in [
        CreateOnly::Honoured,
        CreateOnly::Ignored,
        CreateOnly::NotImplemented,
    ] {
        let store = Bucket::new(create_only)
            .store(PART_BYTES)
            .for_single_writer();
        let path = Path::from("_mdca/commits/x.json");
        assert_eq!(
            store.create(&path, bytes(1)).await.unwrap(),
            Creation::Created
        );
        assert_eq!(
            store.create(&path, bytes(2)).await.unwrap(),
            Creation::Existed
        );
        assert_eq!(store.get(&path, MOST).await.unwrap(), Some(bytes(1)));
    }
}
