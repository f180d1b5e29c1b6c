//! A bucket in memory whose unfinished uploads can be seen, as those of S3 can.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::TimeDelta;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use mdca_lake::store::{RemoteUploads, Store, Unfinished, UnfinishedError, UnfinishedUpload};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result, UploadPart,
};

/// The size of a part in stories whose files are to be uploads of several parts.
pub(crate) const SMALL_PARTS: usize = 8 * 1024;
/// The size of a part in stories whose files are to be plain puts.
pub(crate) const LARGE_PARTS: usize = 8 * 1024 * 1024;

/// What the bucket makes of a put that is to create only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CreateOnly {
    /// It does as it is told.
    Honoured,
    /// It overwrites, as stores do that never heard of it.
    Ignored,
    /// It says that it cannot.
    NotImplemented,
}

/// The parts of uploads that were begun, by object and id.
type Parts = BTreeMap<(String, String), BTreeMap<usize, PutPayload>>;

#[derive(Debug)]
pub(crate) struct Bucket {
    objects: InMemory,
    uploads: Arc<Mutex<Parts>>,
    create_only: CreateOnly,
    /// How far the bucket's clock has moved on since each object was last written.
    ages: Mutex<BTreeMap<Path, TimeDelta>>,
}

impl Bucket {
    pub(crate) fn new(create_only: CreateOnly) -> Arc<Self> {
        Arc::new(Self {
            objects: InMemory::new(),
            uploads: Arc::default(),
            create_only,
            ages: Mutex::default(),
        })
    }

    /// Moves the bucket's clock on: every object that is there is older by so much.
    pub(crate) async fn advance(&self, by: TimeDelta) {
        let objects = self.objects.list(None).try_collect::<Vec<_>>().await;
        let mut ages = self.ages.lock().unwrap();
        for ObjectMeta { location, .. } in objects.unwrap() {
            *ages.entry(location).or_default() += by;
        }
    }

    fn aged(&self, mut meta: ObjectMeta) -> ObjectMeta {
        if let Some(age) = self.ages.lock().unwrap().get(&meta.location) {
            meta.last_modified -= *age;
        }
        meta
    }

    /// The store of a lake that fills the bucket, with parts of this size.
    pub(crate) fn store(self: &Arc<Self>, part_bytes: usize) -> Store {
        let (objects, unfinished) = (Arc::clone(self), Arc::clone(self));
        store_of(objects, unfinished, part_bytes)
    }

    /// The objects of uploads that were neither completed nor aborted.
    pub(crate) fn unfinished(&self) -> Vec<String> {
        let uploads = self.uploads.lock().unwrap();
        uploads.keys().map(|(path, _)| path.clone()).collect()
    }

    /// Every object below a folder, with its bytes.
    pub(crate) async fn below(&self, folder: &str) -> Vec<(Path, Bytes)> {
        let folder = Path::from(folder);
        let listed: Vec<ObjectMeta> = self
            .objects
            .list(Some(&folder))
            .try_collect()
            .await
            .unwrap();
        let mut found = Vec::new();
        for ObjectMeta { location, .. } in listed {
            let got = self.objects.get(&location).await.unwrap();
            found.push((location, got.bytes().await.unwrap()));
        }
        found
    }
}

/// A store as the program puts it together, over objects that a test gives.
pub(crate) fn store_of(
    objects: Arc<dyn ObjectStore>,
    unfinished: Arc<dyn Unfinished>,
    part_bytes: usize,
) -> Store {
    let location = "memory".to_owned();
    let uploads = RemoteUploads::new(Arc::clone(&objects), location.clone())
        .with_unfinished(unfinished)
        .with_part_bytes(part_bytes);
    Store::new(objects, Arc::new(uploads), location)
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a bucket in memory")
    }
}

#[async_trait]
impl ObjectStore for Bucket {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        mut opts: PutOptions,
    ) -> Result<PutResult> {
        if matches!(opts.mode, PutMode::Create) {
            match self.create_only {
                CreateOnly::Honoured => {}
                CreateOnly::Ignored => opts.mode = PutMode::Overwrite,
                CreateOnly::NotImplemented => {
                    return Err(Error::NotImplemented {
                        operation: "create only".to_owned(),
                        implementer: self.to_string(),
                    });
                }
            }
        }
        let put = self.objects.put_opts(location, payload, opts).await;
        if put.is_ok() {
            self.ages.lock().unwrap().remove(location);
        }
        put
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let mut uploads = self.uploads.lock().unwrap();
        let key = (location.to_string(), format!("{:016x}", fastrand::u64(..)));
        uploads.insert(key.clone(), BTreeMap::new());
        Ok(Box::new(Begun {
            key,
            objects: self.objects.clone(),
            uploads: Arc::clone(&self.uploads),
            next: 0,
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut got = self.objects.get_opts(location, options).await?;
        got.meta = self.aged(got.meta);
        Ok(got)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.objects.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = self.objects.list(prefix);
        let listed = listed.map_ok(|meta| self.aged(meta)).collect::<Vec<_>>();
        stream::iter(listed.now_or_never().expect("memory answers at once")).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}

#[async_trait]
impl Unfinished for Bucket {
    async fn list(&self) -> std::result::Result<Vec<UnfinishedUpload>, UnfinishedError> {
        let uploads = self.uploads.lock().unwrap();
        Ok(uploads
            .keys()
            .map(|(path, id)| UnfinishedUpload {
                path: Path::from(path.as_str()),
                id: id.clone(),
            })
            .collect())
    }

    async fn abort(&self, upload: &UnfinishedUpload) -> std::result::Result<(), UnfinishedError> {
        let key = (upload.path.to_string(), upload.id.clone());
        self.uploads.lock().unwrap().remove(&key);
        Ok(())
    }
}

/// An upload that was begun. Dropped, it stays in the bucket's list.
#[derive(Debug)]
struct Begun {
    key: (String, String),
    objects: InMemory,
    uploads: Arc<Mutex<Parts>>,
    next: usize,
}

impl Begun {
    fn gone(&self) -> Error {
        Error::NotFound {
            path: self.key.0.clone(),
            source: "no such upload".into(),
        }
    }
}

#[async_trait]
impl MultipartUpload for Begun {
    fn put_part(&mut self, payload: PutPayload) -> UploadPart {
        let number = self.next;
        self.next += 1;
        let (key, uploads, gone) = (self.key.clone(), Arc::clone(&self.uploads), self.gone());
        async move {
            let mut uploads = uploads.lock().unwrap();
            uploads.get_mut(&key).ok_or(gone)?.insert(number, payload);
            Ok(())
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let parts = self.uploads.lock().unwrap().remove(&self.key);
        let parts = parts.ok_or_else(|| self.gone())?;
        assert!(
            parts.keys().copied().eq(0..self.next),
            "{}: a part is missing",
            self.key.0
        );
        let whole: PutPayload = parts.into_values().flatten().collect();
        let path = Path::from(self.key.0.as_str());
        self.objects.put(&path, whole).await
    }

    async fn abort(&mut self) -> Result<()> {
        match self.uploads.lock().unwrap().remove(&self.key) {
            Some(_) => Ok(()),
            None => Err(self.gone()),
        }
    }
}
