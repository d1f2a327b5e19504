//! A shared denylist that is slow, wrong or broken: nothing that was denied is forgotten, and nothing else stays denied.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::{Duration, Instant, SystemTime};

use tower_bearer::manual::defaults::{DENYLIST_INTERVAL, DENYLIST_STALE_AFTER, MAX_DENIALS};
use tower_bearer::testing::{Idp, ManualClock};
use tower_bearer::{
    Changes, Clock, Denial, DenyErrorKind, Denylist, DenylistError, DenylistErrorKind, DenylistFuture,
    DenylistState, Mark, RejectionKind, ResourceServer, TokenError,
};

use crate::support::{API, ISSUER, seconds};

type Verdict = Result<(), (RejectionKind, Option<TokenError>)>;

const REVOKED: Verdict = Err((RejectionKind::InvalidToken, Some(TokenError::Revoked)));
const UNAVAILABLE: Verdict = Err((RejectionKind::Unavailable, None));

/// Says what a test has written down for it, and keeps what it is given.
#[derive(Default)]
struct List {
    next: Mutex<VecDeque<Changes>>,
    marks: Mutex<Vec<Option<Mark>>>,
    added: Mutex<Vec<Denial>>,
    refuses: Mutex<Option<Refuses>>,
    adding: AtomicUsize,
    add_hangs: AtomicBool,
    removing: AtomicUsize,
    remove_hangs: AtomicBool,
    read_hangs: AtomicBool,
    panics: AtomicBool,
    panics_later: AtomicBool,
}

type Refuses = fn(&Denial) -> Option<DenylistErrorKind>;

impl List {
    fn answers(&self, changes: Changes) {
        self.next.lock().unwrap().push_back(changes);
    }

    fn asked(&self) -> usize {
        self.marks.lock().unwrap().len()
    }

    fn refuses(&self, refuses: Option<Refuses>) {
        *self.refuses.lock().unwrap() = refuses;
    }

    fn added(&self) -> Vec<Denial> {
        self.added.lock().unwrap().clone()
    }
}

impl Denylist for Ours {
    fn add(&self, denial: Denial) -> DenylistFuture<()> {
        let list = self.0.clone();
        list.adding.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            passes(&list.add_hangs).await;
            if let Some(kind) = list.refuses.lock().unwrap().and_then(|refuses| refuses(&denial)) {
                return Err(DenylistError::new(kind));
            }
            list.added.lock().unwrap().push(denial);
            Ok(())
        })
    }

    fn remove(&self, _: Denial) -> DenylistFuture<()> {
        let list = self.0.clone();
        list.removing.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            passes(&list.remove_hangs).await;
            Ok(())
        })
    }

    fn changes(&self, since: Option<Mark>) -> DenylistFuture<Changes> {
        let list = self.0.clone();
        list.marks.lock().unwrap().push(since);
        assert!(!is(&list.panics), "the list panics");
        Box::pin(async move {
            passes(&list.read_hangs).await;
            assert!(!is(&list.panics_later), "the list panics later");
            let next = list.next.lock().unwrap().pop_front();
            Ok(next.unwrap_or_else(|| Changes::new([], Mark::new("last"))))
        })
    }
}

struct Ours(Arc<List>);

async fn passes(hangs: &AtomicBool) {
    while is(hangs) {
        tokio::task::yield_now().await;
    }
}

fn is(flag: &AtomicBool) -> bool {
    flag.load(Ordering::SeqCst)
}

fn set(flag: &AtomicBool, to: bool) {
    flag.store(to, Ordering::SeqCst);
}

struct World {
    clock: ManualClock,
    idp: Idp,
    list: Arc<List>,
    api: ResourceServer,
}

impl World {
    fn new() -> Self {
        let (clock, list) = (ManualClock::new(), Arc::<List>::default());
        let idp = Idp::new(ISSUER).clock(clock.clone());
        let api = ResourceServer::builder(API).clock(clock.clone()).issuer(idp.issuer());
        let api = api.denylist(Ours(list.clone())).build().unwrap();
        Self { clock, idp, list, api }
    }

    async fn of(&self, subject: &str) -> Verdict {
        let token = self.idp.token(API).claim("sub", subject).claim("exp", 4_000_000_000_u64);
        verdict(&self.api, &token.sign()).await
    }

    /// Lets the list be asked once more, and what it answers be taken over.
    async fn next_reading(&self) {
        let asked = self.list.asked();
        self.clock.advance(DENYLIST_INTERVAL);
        eventually(|| self.list.asked() > asked).await;
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    fn in_an_hour(&self) -> SystemTime {
        self.clock.now() + seconds(3600)
    }
}

async fn verdict(api: &ResourceServer, token: &str) -> Verdict {
    api.verify(token).await.map(drop).map_err(|why| (why.kind(), why.token_error()))
}

async fn eventually(so: impl Fn() -> bool) {
    for _ in 0..100_000 {
        if so() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never came to that");
}

fn alice() -> Denial {
    Denial::subject(ISSUER, "alice")
}

/// What the list says of a denial that was removed.
fn removed(denial: Denial) -> Changes {
    Changes::new([denial.until(SystemTime::UNIX_EPOCH)], Mark::new("removed"))
}

fn refuses_all(_: &Denial) -> Option<DenylistErrorKind> {
    Some(DenylistErrorKind::Connection)
}

#[tokio::test]
async fn a_removal_that_is_read_while_a_denial_is_written_takes_back_only_what_was_in_the_list() {
    let world = World::new();
    assert_eq!(world.of("alice").await, Ok(()));
    // It was written: then the list is right.
    world.api.deny(alice()).await.unwrap();
    assert_eq!(world.of("alice").await, REVOKED);
    world.list.answers(removed(alice()));
    world.next_reading().await;
    assert_eq!(world.of("alice").await, Ok(()));
    // It is being written.
    set(&world.list.add_hangs, true);
    let (api, before) = (world.api.clone(), world.list.adding.load(Ordering::SeqCst));
    let deny = tokio::spawn(async move { api.deny(alice()).await });
    eventually(|| world.list.adding.load(Ordering::SeqCst) > before).await;
    assert_eq!(world.of("alice").await, REVOKED);
    world.list.answers(removed(alice()));
    // The task may be writing too: its reading comes after that.
    world.clock.advance(DENYLIST_INTERVAL);
    eventually(|| world.list.next.lock().unwrap().is_empty()).await;
    set(&world.list.add_hangs, false);
    deny.await.unwrap().unwrap();
    world.next_reading().await;
    assert_eq!(world.of("alice").await, REVOKED);
    assert!(world.list.added().len() > 1);
}

#[tokio::test]
async fn what_is_owed_to_the_list_is_not_replaced_by_what_it_says() {
    let world = World::new();
    assert_eq!(world.of("alice").await, Ok(()));
    let (old, young) = (world.clock.now() - seconds(3600), world.clock.now() + seconds(10));
    let (older, newer) = (alice().issued_before(old), alice().issued_before(young));
    let said = |mark: &str| Changes::new([older.clone().until(world.in_an_hour())], Mark::new(mark));
    // By itself the older one is not about this token.
    world.list.answers(said("1"));
    world.next_reading().await;
    assert_eq!(world.of("alice").await, Ok(()));
    world.list.refuses(Some(refuses_all));
    assert_eq!(world.api.deny(newer.clone()).await.unwrap_err().kind(), DenyErrorKind::NotShared);
    assert_eq!(world.of("alice").await, REVOKED);
    // The list comes back after a loss, and another server was there first.
    world.list.answers(said("2").after_loss());
    world.next_reading().await;
    assert_eq!(world.of("alice").await, REVOKED);
    world.list.answers(removed(older.clone()));
    world.next_reading().await;
    assert_eq!(world.of("alice").await, REVOKED);
    assert!(world.list.added().is_empty());
    world.list.refuses(None);
    world.next_reading().await;
    let added = world.list.added();
    assert!(
        added.iter().any(|denial| denial.times() == newer.clone().until(denial.ends_at().unwrap()).times())
    );
}

/// A clock that does something the n-th time that a thread looks at it.
struct Hooked(Mutex<Option<Hook>>);

type Hook = (ThreadId, usize, Box<dyn FnOnce() + Send>);

impl Clock for Hooked {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn instant(&self) -> Instant {
        let hook = {
            let mut hook = self.0.lock().unwrap();
            match &mut *hook {
                Some((thread, 0, _)) if *thread == std::thread::current().id() => hook.take(),
                Some((thread, n, _)) if *thread == std::thread::current().id() => {
                    *n -= 1;
                    None
                }
                _ => None,
            }
        };
        if let Some((.., run)) = hook {
            run();
        }
        Instant::now()
    }
}

/// The first reading ends between any two looks of a request at the clock.
#[test]
fn a_first_reading_that_ends_while_a_request_asks_is_not_missed() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let idp = Idp::new(ISSUER);
    let mut runs = 0;
    for (subject, expected) in [("bob", Ok(())), ("alice", REVOKED)] {
        for place in 0..20 {
            let list = Arc::<List>::default();
            set(&list.read_hangs, true);
            let end = SystemTime::now() + seconds(3600);
            list.answers(Changes::new([alice().until(end)], Mark::new("1")));
            let clock = Arc::new(Hooked(Mutex::new(None)));
            let api = ResourceServer::builder(API).clock(clock.clone()).issuer(idp.issuer());
            let api = api.denylist(Ours(list.clone())).build().unwrap();
            let token = idp.token(API).claim("sub", subject).sign();
            let done = runtime.block_on(async {
                // Begins to read.
                let begun = tokio::time::timeout(Duration::from_millis(20), api.warm_up()).await;
                assert!(begun.is_err());
                let (watched, opened) = (api.clone(), list.clone());
                let hook = move || {
                    set(&opened.read_hangs, false);
                    let patience = Instant::now() + seconds(5);
                    while watched.health().denylist().unwrap().state() != DenylistState::Current {
                        assert!(Instant::now() < patience, "it is not read");
                        std::thread::sleep(Duration::from_millis(1));
                    }
                };
                *clock.0.lock().unwrap() = Some((std::thread::current().id(), place, Box::new(hook)));
                let mut asking = std::pin::pin!(verdict(&api, &token));
                let soon = tokio::time::timeout(Duration::from_millis(200), &mut asking).await;
                let has_run = clock.0.lock().unwrap().is_none();
                let answer = match soon {
                    Err(_) if has_run => tokio::time::timeout(seconds(5), asking).await,
                    soon => soon,
                };
                if has_run {
                    assert_eq!(answer.expect("it is read"), expected, "{subject} {place}");
                }
                set(&list.read_hangs, false);
                !has_run
            });
            if done {
                break;
            }
            runs += 1;
        }
    }
    assert!(runs > 2);
}

#[tokio::test]
async fn what_is_written_is_all_that_holds() {
    let world = World::new();
    assert_eq!(world.of("alice").await, Ok(()));
    let (short, long) = (world.clock.now() + seconds(3), world.in_an_hour());
    world.api.deny(alice().until(short)).await.unwrap();
    assert_eq!(world.list.added().pop().unwrap().times(), alice().until(short).times());
    world.list.refuses(Some(refuses_all));
    assert_eq!(world.api.deny(alice().until(long)).await.unwrap_err().kind(), DenyErrorKind::NotShared);
    world.list.refuses(None);
    world.api.deny(alice().until(short)).await.unwrap();
    assert_eq!(
        world.list.added().pop().unwrap().times(),
        alice().until(long).times(),
        "together with what it holds here"
    );
    world.clock.advance(seconds(4));
    assert_eq!(world.of("alice").await, REVOKED);
    // What has ended adds nothing.
    let later = world.clock.now() + seconds(7200);
    world.clock.advance(seconds(3600));
    assert_eq!(world.of("alice").await, Ok(()));
    world.api.deny(alice().until(later)).await.unwrap();
    assert_eq!(world.list.added().pop().unwrap().times(), alice().until(later).times());
}

#[tokio::test]
async fn to_allow_takes_back_nothing_that_was_denied_meanwhile() {
    let world = World::new();
    assert_eq!(world.of("alice").await, Ok(()));
    for denied_by in ["nobody", "another server", "this one"] {
        world.api.deny(alice()).await.unwrap();
        assert_eq!(world.of("alice").await, REVOKED, "{denied_by}");
        set(&world.list.remove_hangs, true);
        let (api, before) = (world.api.clone(), world.list.removing.load(Ordering::SeqCst));
        let allow = tokio::spawn(async move { api.allow(&alice()).await });
        eventually(|| world.list.removing.load(Ordering::SeqCst) > before).await;
        match denied_by {
            "another server" => {
                world.list.answers(Changes::new([alice().until(world.in_an_hour())], Mark::new("2")));
                world.next_reading().await;
            }
            "this one" => world.api.deny(alice()).await.unwrap(),
            _ => {}
        }
        set(&world.list.remove_hangs, false);
        assert!(allow.await.unwrap().unwrap(), "{denied_by}: there was one");
        let expected = if denied_by == "nobody" { Ok(()) } else { REVOKED };
        assert_eq!(world.of("alice").await, expected, "{denied_by}");
    }
}

/// It is alive, but whoever owns it does something else.
#[test]
fn a_runtime_that_nobody_drives_is_no_outage() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let world = World::new();
    first.block_on(async { assert_eq!(world.of("alice").await, Ok(())) });
    world.list.answers(Changes::new([alice().until(world.in_an_hour())], Mark::new("1")));
    world.clock.advance(DENYLIST_STALE_AFTER);
    second.block_on(async {
        assert_eq!(world.of("bob").await, Ok(()));
        assert_eq!(world.of("alice").await, REVOKED, "it was read anew");
    });
}

#[tokio::test]
async fn a_list_that_panics_has_failed_and_is_asked_again() {
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let text = info.payload_as_str().unwrap_or_default();
        if !text.starts_with("the list panics") {
            quiet(info);
        }
    }));
    let (world, begin) = (World::new(), Instant::now());
    for flag in [&world.list.panics, &world.list.panics_later] {
        assert_eq!(world.of("alice").await, Ok(()));
        set(flag, true);
        while world.of("alice").await.is_ok() {
            world.next_reading().await;
        }
        assert_eq!(world.of("alice").await, UNAVAILABLE);
        let health = world.api.health();
        assert_eq!(health.denylist().unwrap().last_error().unwrap().1, DenylistErrorKind::Refused);
        set(flag, false);
        // No request is needed.
        world.next_reading().await;
        assert!(world.api.is_ready());
    }
    // One that is new.
    let cold = World::new();
    set(&cold.list.panics, true);
    assert_eq!(cold.of("alice").await, UNAVAILABLE);
    assert!(begin.elapsed() < seconds(2), "nobody has waited for long: {:?}", begin.elapsed());
}

/// A server that is not ready gets no requests: whoever asks how it is sees to it that it gets ready.
#[test]
fn asking_for_its_health_begins_to_read_again() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = World::new();
    assert!(!world.api.is_ready());
    assert_eq!(world.list.asked(), 0, "nothing is read before it is needed");
    runtime().block_on(async { assert_eq!(world.of("alice").await, Ok(())) });
    assert!(world.api.is_ready());
    world.clock.advance(seconds(60));
    runtime().block_on(async {
        assert!(!world.api.is_ready());
        let asked = world.list.asked();
        eventually(|| world.list.asked() > asked).await;
        eventually(|| world.api.is_ready()).await;
    });
}

#[tokio::test]
async fn one_denial_that_the_list_does_not_take_keeps_no_other_from_it() {
    let world = World::new();
    assert_eq!(world.of("alice").await, Ok(()));
    let denial = |n: usize| Denial::token(ISSUER, n.to_string());
    for kind in [DenylistErrorKind::Refused, DenylistErrorKind::Data, DenylistErrorKind::Full] {
        world.list.refuses(Some(refuses_all));
        for n in 0..20 {
            assert!(world.api.deny(denial(n)).await.is_err());
        }
        world.list.added.lock().unwrap().clear();
        world.list.refuses(Some(match kind {
            DenylistErrorKind::Refused => |it| is_seven(it).then_some(DenylistErrorKind::Refused),
            DenylistErrorKind::Data => |it| is_seven(it).then_some(DenylistErrorKind::Data),
            _ => |it| is_seven(it).then_some(DenylistErrorKind::Full),
        }));
        world.next_reading().await;
        assert_eq!(world.list.added().len(), 19, "{kind:?}");
        // The one that is left is not forgotten.
        world.list.refuses(None);
        world.next_reading().await;
        assert_eq!(world.list.added().len(), 20, "{kind:?}");
    }
}

fn is_seven(denial: &Denial) -> bool {
    denial.key() == Denial::token(ISSUER, "7").key()
}

/// The list holds more than there is room for here, and what comes later makes room.
#[tokio::test]
async fn a_list_that_is_too_long_is_never_taken_for_read_and_is_read_to_its_end() {
    let world = World::new();
    assert_eq!(world.of("alice").await, Ok(()));
    let denial = |n: usize| Denial::token(ISSUER, n.to_string()).until(world.in_an_hour());
    let all = || Changes::new((0..MAX_DENIALS).map(denial), Mark::new("1")).and_more();
    world.list.answers(all());
    world.next_reading().await;
    assert_eq!(world.of("alice").await, Ok(()));
    assert_eq!(world.api.health().denylist().unwrap().denials(), MAX_DENIALS);
    // One that covers more, and one that has no room at first.
    let alice = || Changes::new([alice().until(world.in_an_hour())], Mark::new("2"));
    world.list.answers(alice().and_more());
    world.list.answers(Changes::new([], Mark::new("3")));
    let read = || Some(world.api.health().denylist()?.last_error()?.1);
    assert_eq!(read(), None);
    world.next_reading().await;
    assert_eq!(read(), Some(DenylistErrorKind::Full));
    assert_eq!(world.list.marks.lock().unwrap().last().unwrap(), &Some(Mark::new("2")), "read to its end");
    world.clock.advance(DENYLIST_STALE_AFTER);
    world.list.answers(all());
    world.list.answers(alice().and_more());
    world.list.answers(removed(denial(7)));
    world.next_reading().await;
    assert_eq!(world.of("alice").await, UNAVAILABLE, "it may be denied");
    // From its beginning: by now there is room.
    let asked = world.list.asked();
    world.list.answers(alice());
    world.next_reading().await;
    assert_eq!(world.list.marks.lock().unwrap()[asked], None);
    assert_eq!(world.of("alice").await, REVOKED);
    assert_eq!(world.of("bob").await, Ok(()));
}
