//! A store between the program and its lake: it fails by plan, and lets several runs take turns.
//!
//! Every call on the store passes [`Gate::enter`], which counts it and says what becomes of it. A
//! process that dies between two calls is a run whose call never returns, and that is dropped.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::{BoxFuture, join_all};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use mdca_lake::store::{
    Store, StoreError, Unfinished, UnfinishedError, UnfinishedUpload, Upload, Uploads,
};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    UploadPart,
};
use tokio::sync::{oneshot, watch};

use super::bucket::{self, Bucket};

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is done and answered.
    Pass,
    /// It is not done, and an error says so.
    Refuse,
    /// It is done, and an error is the answer.
    LoseAnswer,
    /// A create-only put: it is not done, and the answer is that the object exists (as a store does
    /// that had two of them at once). Any other call is refused.
    Conflict,
    /// A read: the body ends early with an error. Any other call is refused.
    CutBody,
    /// The process dies before it.
    Die,
    /// The process dies after it, before its answer.
    DieAfter,
    /// A put, or what completes an upload: the process dies and it is on its way, until [`Gate::land`].
    /// At any other call the process dies before it.
    DieLate,
    /// It is not done: the store does not allow it.
    Deny,
    /// A read: the answer is that nothing is there. Any other call is refused.
    Hide,
}

/// One call on the store.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Its number in the run, from 0.
    pub(crate) index: usize,
    pub(crate) verb: &'static str,
    pub(crate) path: String,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {}: {} {}", self.index, self.verb, self.path)
    }
}

type Plan = Box<dyn FnMut(&Call) -> Fate + Send>;

/// What all calls of one run pass.
pub(crate) struct Gate {
    plan: Mutex<Plan>,
    calls: Mutex<Vec<Call>>,
    died: watch::Sender<bool>,
    turns: Option<(Arc<Turns>, usize)>,
    /// Puts that are on their way.
    late: Mutex<Vec<BoxFuture<'static, ()>>>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

impl Gate {
    pub(crate) fn new(plan: impl FnMut(&Call) -> Fate + Send + 'static) -> Arc<Self> {
        Self::taking_turns(plan, None)
    }

    pub(crate) fn taking_turns(
        plan: impl FnMut(&Call) -> Fate + Send + 'static,
        turns: Option<(Arc<Turns>, usize)>,
    ) -> Arc<Self> {
        Arc::new(Self {
            plan: Mutex::new(Box::new(plan)),
            calls: Mutex::default(),
            died: watch::channel(false).0,
            turns,
            late: Mutex::default(),
        })
    }

    /// The calls so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// Puts the gate before a store.
    pub(crate) fn guard(self: &Arc<Self>, store: &Store) -> Store {
        let objects = GuardedObjects {
            gate: Arc::clone(self),
            inner: store.objects(),
        };
        let uploads = GuardedUploads {
            gate: Arc::clone(self),
            inner: store.clone(),
        };
        Store::new(
            Arc::new(objects),
            Arc::new(uploads),
            store.location().to_owned(),
        )
    }

    /// What was on its way lands: how many puts were.
    pub(crate) async fn land(&self) -> usize {
        let late = std::mem::take(&mut *self.late.lock().unwrap());
        join_all(late).await.len()
    }

    async fn die_late(&self, put: impl Future<Output = ()> + Send + 'static) {
        self.late.lock().unwrap().push(put.boxed());
        self.die().await;
    }

    /// Puts the gate between the program's own uploads and a bucket: each request counts.
    pub(crate) fn guard_bucket(self: &Arc<Self>, bucket: &Arc<Bucket>, part_bytes: usize) -> Store {
        let objects = GuardedObjects {
            gate: Arc::clone(self),
            inner: Arc::clone(bucket) as Arc<dyn ObjectStore>,
        };
        let unfinished = GuardedUnfinished {
            gate: Arc::clone(self),
            inner: Arc::clone(bucket),
        };
        bucket::store_of(Arc::new(objects), Arc::new(unfinished), part_bytes)
    }

    /// Runs what the gate guards until it ends or dies; `None` where it died.
    pub(crate) async fn live<T>(&self, run: impl Future<Output = T>) -> Option<T> {
        let mut died = self.died.subscribe();
        tokio::select! {
            biased;
            _ = died.wait_for(|died| *died) => None,
            ended = run => Some(ended),
        }
    }

    async fn enter(&self, verb: &'static str, path: &str) -> Fate {
        if let Some((turns, run)) = &self.turns {
            turns.wait(*run).await;
        }
        let fate = {
            let mut calls = self.calls.lock().unwrap();
            let call = Call {
                index: calls.len(),
                verb,
                path: path.to_owned(),
            };
            calls.push(call.clone());
            self.plan.lock().unwrap()(&call)
        };
        let can_be_late = matches!(verb, "put" | "create" | "complete");
        if fate == Fate::Die || fate == Fate::DieLate && !can_be_late {
            self.die().await;
        }
        fate
    }

    async fn die(&self) {
        self.died.send_replace(true);
        std::future::pending::<()>().await;
    }

    /// A call on the objects.
    async fn objects<T>(
        &self,
        verb: &'static str,
        path: &str,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let fate = self.enter(verb, path).await;
        self.meet(fate, verb, path, call).await
    }

    /// What becomes of a call on the objects.
    async fn meet<T>(
        &self,
        fate: Fate,
        verb: &'static str,
        path: &str,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        match fate {
            Fate::Pass => call.await,
            Fate::LoseAnswer => {
                let _ = call.await;
                Err(lost(verb))
            }
            Fate::DieAfter => {
                let _ = call.await;
                self.die().await;
                Err(lost(verb))
            }
            Fate::Deny => Err(denied(path)),
            Fate::Refuse
            | Fate::Hide
            | Fate::Conflict
            | Fate::CutBody
            | Fate::Die
            | Fate::DieLate => Err(lost(verb)),
        }
    }

    /// A call on an upload.
    async fn uploads<T>(
        &self,
        verb: &'static str,
        path: &str,
        call: impl Future<Output = std::result::Result<T, StoreError>>,
    ) -> std::result::Result<T, StoreError> {
        let error = || StoreError::new(verb, path.to_owned(), lost(verb));
        match self.enter(verb, path).await {
            Fate::Pass => call.await,
            Fate::LoseAnswer => {
                let _ = call.await;
                Err(error())
            }
            Fate::DieAfter => {
                let _ = call.await;
                self.die().await;
                Err(error())
            }
            Fate::Deny => Err(StoreError::new(verb, path.to_owned(), denied(path))),
            Fate::Refuse
            | Fate::Hide
            | Fate::Conflict
            | Fate::CutBody
            | Fate::Die
            | Fate::DieLate => Err(error()),
        }
    }
}

fn denied(path: &str) -> object_store::Error {
    object_store::Error::PermissionDenied {
        path: path.to_owned(),
        source: "written once".into(),
    }
}

fn lost(verb: &'static str) -> object_store::Error {
    object_store::Error::Generic {
        store: "Faulty",
        source: format!("no answer to {verb}").into(),
    }
}

/// Runs that take turns: one call on the store at a time, by a seed, and only once every run that
/// is alive waits for its turn.
pub(crate) struct Turns(Mutex<Waiting>);

struct Waiting {
    random: fastrand::Rng,
    alive: Vec<usize>,
    queue: Vec<(usize, oneshot::Sender<()>)>,
}

impl Turns {
    pub(crate) fn new(seed: u64, runs: Range<usize>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Waiting {
            random: fastrand::Rng::with_seed(seed),
            alive: runs.collect(),
            queue: Vec::new(),
        })))
    }

    async fn wait(&self, run: usize) {
        let (turn, mine) = oneshot::channel();
        {
            let mut state = self.0.lock().unwrap();
            state.queue.push((run, turn));
            state.next();
        }
        if mine.await.is_err() {
            // A task that outlived its run: that one left while this waited.
            std::future::pending::<()>().await;
        }
    }

    /// A run ended or died.
    pub(crate) fn leave(&self, run: usize) {
        let mut state = self.0.lock().unwrap();
        state.alive.retain(|alive| *alive != run);
        state.queue.retain(|(waiting, _)| *waiting != run);
        state.next();
    }
}

impl Waiting {
    /// Gives turns as long as every run has somebody who waits: a run may have several slices in
    /// flight, and the one whose turn it was may not come back.
    fn next(&mut self) {
        while !self.queue.is_empty() && self.alive.iter().all(|run| self.waits(*run)) {
            let chosen = self.random.usize(..self.queue.len());
            let (_, turn) = self.queue.swap_remove(chosen);
            // Who does not wait any more has died.
            let _ = turn.send(());
        }
    }

    fn waits(&self, run: usize) -> bool {
        self.queue.iter().any(|(waiting, _)| *waiting == run)
    }
}

#[derive(Debug)]
struct GuardedObjects {
    gate: Arc<Gate>,
    inner: Arc<dyn ObjectStore>,
}

impl fmt::Display for GuardedObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "guarded {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for GuardedObjects {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let create = matches!(opts.mode, PutMode::Create);
        let verb = if create { "create" } else { "put" };
        let fate = self.gate.enter(verb, location.as_ref()).await;
        match fate {
            Fate::Pass => self.inner.put_opts(location, payload, opts).await,
            Fate::LoseAnswer => {
                let _ = self.inner.put_opts(location, payload, opts).await;
                Err(lost(verb))
            }
            Fate::DieAfter => {
                let _ = self.inner.put_opts(location, payload, opts).await;
                self.gate.die().await;
                Err(lost(verb))
            }
            Fate::Conflict if create => Err(object_store::Error::AlreadyExists {
                path: location.to_string(),
                source: "two at once".into(),
            }),
            Fate::DieLate => {
                let (inner, location) = (Arc::clone(&self.inner), location.clone());
                let put = async move {
                    let _ = inner.put_opts(&location, payload, opts).await;
                };
                self.gate.die_late(put).await;
                Err(lost(verb))
            }
            Fate::Deny => Err(denied(location.as_ref())),
            Fate::Refuse | Fate::Hide | Fate::Conflict | Fate::CutBody | Fate::Die => {
                Err(lost(verb))
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let call = self.inner.put_multipart_opts(location, opts);
        let inner = self.gate.objects("begin", location.as_ref(), call).await?;
        Ok(Box::new(GuardedMultipart {
            gate: Arc::clone(&self.gate),
            target: location.to_string(),
            inner: Some(inner),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let verb = if options.head { "head" } else { "get" };
        let fate = self.gate.enter(verb, location.as_ref()).await;
        match fate {
            Fate::Pass => self.inner.get_opts(location, options).await,
            Fate::CutBody => {
                let mut result = self.inner.get_opts(location, options).await?;
                result.payload = GetResultPayload::Stream(
                    stream::iter([Ok(Bytes::from_static(b"{")), Err(lost("read on"))]).boxed(),
                );
                Ok(result)
            }
            Fate::DieAfter => {
                self.gate.die().await;
                Err(lost(verb))
            }
            Fate::Deny => Err(denied(location.as_ref())),
            Fate::Hide => Err(object_store::Error::NotFound {
                path: location.to_string(),
                source: "it is hidden".into(),
            }),
            Fate::Refuse | Fate::LoseAnswer | Fate::Conflict | Fate::Die | Fate::DieLate => {
                Err(lost(verb))
            }
        }
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (gate, inner) = (Arc::clone(&self.gate), Arc::clone(&self.inner));
        locations
            .then(move |location| {
                let (gate, inner) = (Arc::clone(&gate), Arc::clone(&inner));
                async move {
                    let location = location?;
                    let one = stream::iter([Ok(location.clone())]).boxed();
                    let path = location.to_string();
                    let mut deleted = inner.delete_stream(one);
                    let delete = async {
                        match deleted.next().await {
                            Some(result) => result,
                            None => Ok(location),
                        }
                    };
                    gate.objects("delete", &path, delete).await
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (gate, inner) = (Arc::clone(&self.gate), Arc::clone(&self.inner));
        let prefix = prefix.cloned();
        async move {
            let path = prefix.as_ref().map_or("", Path::as_ref).to_owned();
            match gate.enter("list", &path).await {
                Fate::Pass => inner.list(prefix.as_ref()),
                Fate::CutBody => {
                    let first = inner.list(prefix.as_ref()).take(1);
                    first.chain(stream::iter([Err(lost("list on"))])).boxed()
                }
                Fate::DieAfter => {
                    gate.die().await;
                    stream::empty().boxed()
                }
                Fate::Deny => stream::iter([Err(denied(&path))]).boxed(),
                Fate::Refuse
                | Fate::Hide
                | Fate::LoseAnswer
                | Fate::Conflict
                | Fate::Die
                | Fate::DieLate => stream::iter([Err(lost("list"))]).boxed(),
            }
        }
        .flatten_stream()
        .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let path = prefix.map_or("", Path::as_ref).to_owned();
        let call = self.inner.list_with_delimiter(prefix);
        self.gate.objects("list", &path, call).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(lost("a copy past the gate"))
    }
}

/// An upload's requests to a bucket.
#[derive(Debug)]
struct GuardedMultipart {
    gate: Arc<Gate>,
    target: String,
    /// None once it is on its way to be completed by itself.
    inner: Option<Box<dyn MultipartUpload>>,
}

#[async_trait]
impl MultipartUpload for GuardedMultipart {
    fn put_part(&mut self, payload: PutPayload) -> UploadPart {
        let (gate, target) = (Arc::clone(&self.gate), self.target.clone());
        let call = self.inner.as_mut().unwrap().put_part(payload);
        async move { gate.objects("put part", &target, call).await }.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let fate = self.gate.enter("complete", &self.target).await;
        let mut inner = self.inner.take().unwrap();
        if fate == Fate::DieLate {
            let complete = async move {
                let _ = inner.complete().await;
            };
            self.gate.die_late(complete).await;
            return Err(lost("complete"));
        }
        let completed = self
            .gate
            .meet(fate, "complete", &self.target, inner.complete());
        let completed = completed.await;
        self.inner = Some(inner);
        completed
    }

    async fn abort(&mut self) -> Result<()> {
        let call = self.inner.as_mut().unwrap().abort();
        self.gate.objects("abort", &self.target, call).await
    }
}

#[derive(Debug)]
struct GuardedUnfinished {
    gate: Arc<Gate>,
    inner: Arc<Bucket>,
}

#[async_trait]
impl Unfinished for GuardedUnfinished {
    async fn list(&self) -> std::result::Result<Vec<UnfinishedUpload>, UnfinishedError> {
        let call = Unfinished::list(self.inner.as_ref()).map(|listed| Ok(listed.unwrap()));
        Ok(self.gate.objects("list uploads", "", call).await?)
    }

    async fn abort(&self, upload: &UnfinishedUpload) -> std::result::Result<(), UnfinishedError> {
        let call = self.inner.abort(upload).map(|aborted| {
            aborted.unwrap();
            Ok(())
        });
        Ok(self
            .gate
            .objects("abort upload", upload.path.as_ref(), call)
            .await?)
    }
}

#[derive(Debug)]
struct GuardedUploads {
    gate: Arc<Gate>,
    inner: Store,
}

#[async_trait]
impl Uploads for GuardedUploads {
    async fn begin(
        &self,
        target: &Path,
        slice: &str,
        attempt: &str,
    ) -> std::result::Result<Box<dyn Upload>, StoreError> {
        let call = self.inner.uploads().begin(target, slice, attempt);
        let inner = self.gate.uploads("begin", target.as_ref(), call).await?;
        Ok(Box::new(GuardedUpload {
            gate: Arc::clone(&self.gate),
            target: target.to_string(),
            inner,
        }))
    }

    async fn sweep(&self, slice: &str) -> std::result::Result<(), StoreError> {
        let call = self.inner.uploads().sweep(slice);
        self.gate.uploads("sweep", slice, call).await
    }

    async fn leftovers(&self) -> std::result::Result<Vec<String>, StoreError> {
        let call = self.inner.uploads().leftovers();
        self.gate.uploads("leftovers", "", call).await
    }

    async fn persist(&self, target: &Path) -> std::result::Result<(), StoreError> {
        let call = self.inner.uploads().persist(target);
        self.gate.uploads("persist", target.as_ref(), call).await
    }

    async fn tidy(&self, slice: &str) {
        let call = self.inner.uploads().tidy(slice).map(Ok);
        let _ = self.gate.uploads("tidy", slice, call).await;
    }
}

struct GuardedUpload {
    gate: Arc<Gate>,
    target: String,
    inner: Box<dyn Upload>,
}

#[async_trait]
impl Upload for GuardedUpload {
    async fn write(&mut self, bytes: Bytes) -> std::result::Result<(), StoreError> {
        let call = self.inner.write(bytes);
        self.gate.uploads("write", &self.target, call).await
    }

    async fn seal(&mut self) -> std::result::Result<(), StoreError> {
        let call = self.inner.seal();
        self.gate.uploads("seal", &self.target, call).await
    }

    async fn publish(&mut self) -> std::result::Result<(), StoreError> {
        let call = self.inner.publish();
        self.gate.uploads("publish", &self.target, call).await
    }

    fn waiting_bytes(&self) -> usize {
        self.inner.waiting_bytes()
    }

    async fn abort(&mut self) {
        let call = self.inner.abort().map(Ok);
        let _ = self.gate.uploads("abort", &self.target, call).await;
    }
}
