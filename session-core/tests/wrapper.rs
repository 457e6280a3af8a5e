//! Stores around stores: what a wrapper does not change, the store inside does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use session_core::{
    Capabilities, Confirmation, Cursor, Draft, Ended, Error, ErrorKind, Invalidation,
    InvalidationStream, Lifetime, Notice, NoticeStream, Owner, Page, Record, Result, Saved,
    SessionDirectory, SessionId, SessionStore, SessionToken, StoreWrapper, Timeout, Ttl, Version,
    async_trait,
};

const MINUTE: Duration = Duration::from_secs(60);

/// Writes down what it is asked, and answers what no other operation answers.
#[derive(Debug, Default)]
struct Scribe {
    asked: Mutex<Vec<String>>,
    has_no_directory: bool,
}

impl Scribe {
    fn note(&self, asked: String) {
        self.asked.lock().expect("whole").push(asked);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().expect("whole"))
    }
}

fn page(next: &str) -> Page {
    Page::new(Vec::new(), Some(Cursor::new(next)))
}

fn ended(times: usize) -> Vec<Ended> {
    let one = || Ended::unknown(SessionToken::generate().id());
    std::iter::repeat_with(one).take(times).collect()
}

#[async_trait]
impl SessionStore for Scribe {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new().with_max_data(17)
    }

    fn directory(&self) -> Option<&dyn SessionDirectory> {
        (!self.has_no_directory).then_some(self)
    }

    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Saved> {
        self.note(format!("create {id:?} {:?}", draft.stamp));
        Ok(Saved::done(draft))
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        self.note(format!("load {id:?}"));
        Err(Error::corrupt("loaded"))
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        let (stamp, expected) = (draft.stamp, expected.stamp());
        self.note(format!("save {id:?} {stamp:?} {expected:?}"));
        Ok(Saved::Unknown)
    }

    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        self.note(format!("touch {id:?} {idle:?}"));
        Ok(Some(Ttl::Left(Duration::from_secs(3))))
    }

    async fn destroy(&self, id: &SessionId, expected: Option<&Version>) -> Result<Option<Ended>> {
        let expected = expected.map(Version::stamp);
        self.note(format!("destroy {id:?} {expected:?}"));
        Ok(Some(Ended::unknown(id.clone())))
    }

    fn notices(&self) -> Option<NoticeStream> {
        self.note("notices".to_owned());
        Some(Box::pin(stream::iter([Ok(Notice::Missed)])))
    }

    fn invalidations(&self, silence: Duration) -> Option<InvalidationStream> {
        self.note(format!("invalidations {silence:?}"));
        Some(Box::pin(stream::iter([Ok(Invalidation::All)])))
    }

    async fn confirm(&self, confirmation: Confirmation) -> Result<()> {
        self.note(format!("confirm {confirmation}"));
        Err(Error::full(3))
    }

    fn drop_copy(&self, id: &SessionId) {
        self.note(format!("drop_copy {id:?}"));
    }
}

#[async_trait]
impl SessionDirectory for Scribe {
    async fn count(&self) -> Result<u64> {
        self.note("count".to_owned());
        Ok(4)
    }

    async fn list(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        let cursor = cursor.map(Cursor::as_str);
        self.note(format!("list {cursor:?} {limit}"));
        Ok(page("listed"))
    }

    async fn owned_by(&self, owner: &Owner, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        let cursor = cursor.map(Cursor::as_str);
        self.note(format!("owned_by {owner:?} {cursor:?} {limit}"));
        Ok(page("owned"))
    }

    async fn destroy_owned_by(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<Ended>> {
        self.note(format!("destroy_owned_by {owner:?} {except:?} {limit}"));
        Ok(ended(5))
    }

    async fn clear(&self) -> Result<u64> {
        self.note("clear".to_owned());
        Ok(6)
    }

    async fn reap(&self, limit: usize) -> Result<Vec<Ended>> {
        self.note(format!("reap {limit}"));
        Ok(ended(7))
    }

    async fn confirm_reaped(&self, reaped: &[Ended]) -> Result<()> {
        self.note(format!("confirm_reaped {}", reaped.len()));
        Err(Error::corrupt("confirmed"))
    }
}

/// Changes nothing.
#[derive(Debug)]
struct Thin<S>(S);

impl<S: SessionStore> StoreWrapper for Thin<S> {
    type Inner = S;

    fn inner(this: &Self) -> &S {
        &this.0
    }
}

/// Finds nothing.
#[derive(Debug)]
struct Empty<S>(S);

impl<S: SessionStore> StoreWrapper for Empty<S> {
    type Inner = S;

    fn inner(this: &Self) -> &S {
        &this.0
    }

    async fn load(_: &Self, _: &SessionId) -> Result<Option<Record>> {
        Ok(None)
    }
}

/// Has no directory.
#[derive(Debug)]
struct Closed<S>(S);

impl<S: SessionStore> StoreWrapper for Closed<S> {
    type Inner = S;

    fn inner(this: &Self) -> &S {
        &this.0
    }

    fn has_directory(_: &Self) -> bool {
        false
    }
}

/// Calls each operation once, and gives the answers.
async fn call_all(store: &dyn SessionStore, with: &Arguments) -> Vec<String> {
    let Arguments { id, draft, owner } = with;
    let (version, cursor) = (Version::new(draft.stamp), Cursor::new("here"));
    let mut answers = vec![
        format!("{:?}", store.capabilities()),
        format!("{:?}", store.create(id, draft).await),
        format!("{:?}", store.load(id).await),
        format!("{:?}", store.save(id, draft, &version).await),
        format!("{:?}", store.touch(id, Timeout::After(MINUTE)).await),
        format!("{:?}", store.destroy(id, Some(&version)).await),
        format!("{:?}", store.destroy(id, None).await),
    ];
    let notices = store.notices().expect("they are passed on");
    answers.push(format!("{:?}", notices.collect::<Vec<_>>().await));
    let invalidations = store.invalidations(MINUTE).expect("they are passed on");
    answers.push(format!("{:?}", invalidations.collect::<Vec<_>>().await));
    let confirmed = store.confirm(Confirmation::Durable).await;
    answers.push(format!("{confirmed:?}"));
    store.drop_copy(id);
    if let Some(directory) = store.directory() {
        let ended = |ended: Result<Vec<Ended>>| ended.map(|ended| ended.len());
        let destroyed = directory.destroy_owned_by(owner, Some(id), 8).await;
        answers.extend([
            format!("{:?}", directory.count().await),
            format!("{:?}", directory.list(Some(&cursor), 9).await),
            format!("{:?}", directory.owned_by(owner, Some(&cursor), 10).await),
            format!("{:?}", ended(destroyed)),
            format!("{:?}", directory.clear().await),
            format!("{:?}", ended(directory.reap(11).await)),
            format!("{:?}", directory.confirm_reaped(&[]).await),
            format!("{:?}", directory.load(id).await),
        ]);
    }
    answers
}

struct Arguments {
    id: SessionId,
    draft: Draft,
    owner: Owner,
}

fn arguments() -> Arguments {
    Arguments {
        id: SessionToken::generate().id(),
        draft: Draft::new("{}", Lifetime::fixed(MINUTE)),
        owner: Owner::new("u").expect("an owner"),
    }
}

#[tokio::test]
async fn a_wrapper_that_changes_nothing_passes_every_operation_on() {
    let with = arguments();
    let scribe = Arc::new(Scribe::default());
    let answers = call_all(&*scribe, &with).await;
    let asked = scribe.take();
    assert_eq!((answers.len(), asked.len()), (18, 18));
    let shared: Arc<dyn SessionStore> = scribe.clone();
    let stores: [&dyn SessionStore; 3] =
        [&Thin(scribe.clone()), &Thin(Thin(shared.clone())), &shared];
    for store in stores {
        assert_eq!(call_all(store, &with).await, answers, "{store:?}");
        assert_eq!(scribe.take(), asked, "{store:?}");
    }
}

#[tokio::test]
async fn a_wrapper_has_a_directory_if_the_store_inside_has_one() {
    let inner = Scribe {
        has_no_directory: true,
        ..Scribe::default()
    };
    let wrapper = Thin(inner);
    assert!(wrapper.directory().is_none());
    assert_eq!(call_all(&wrapper, &arguments()).await.len(), 10);
    assert!(matches!(
        wrapper.count().await, Err(error) if error.kind() == ErrorKind::Unsupported));
}

#[tokio::test]
async fn what_a_wrapper_changes_counts_in_its_directory_too() {
    let wrapper = Thin(Empty(Scribe::default()));
    let directory = wrapper.directory().expect("one");
    let loaded = directory.load(&arguments().id).await;
    assert!(matches!(loaded, Ok(None)), "{loaded:?}");
    assert_eq!(directory.count().await.expect("counted"), 4);
}

#[tokio::test]
async fn a_wrapper_that_closes_the_directory_passes_none_of_its_operations_on() {
    let Arguments { id, owner, .. } = arguments();
    let wrapper = Closed(Scribe::default());
    assert!(wrapper.directory().is_none());
    let refused = [
        wrapper.count().await.err(),
        wrapper.list(None, 1).await.err(),
        wrapper.owned_by(&owner, None, 1).await.err(),
        wrapper.destroy_owned_by(&owner, Some(&id), 1).await.err(),
        wrapper.clear().await.err(),
        wrapper.reap(1).await.err(),
        wrapper.confirm_reaped(&[]).await.err(),
    ];
    for refused in refused {
        let kind = refused.map(|error| error.kind());
        assert_eq!(kind, Some(ErrorKind::Unsupported));
    }
    assert_eq!(wrapper.0.take(), [""; 0]);
}
