//! The limit on signatures that are checked at the same time: what it turns away, and what it leaves alone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use http::header::RETRY_AFTER;
use http::{Method, Request, StatusCode};
use serde_json::json;
use tower_bearer::manual::defaults::{BREAKER_FAILURES, BUSY_RETRY_AFTER};
use tower_bearer::settings::Settings;
use tower_bearer::testing::Idp;
use tower_bearer::{
    BearerAuthLayer, Event, HmacAlgorithm, Introspection, Issuer, Keys, LookupErrorKind, RejectionKind,
    ResourceServer, ResourceServerBuilder, TokenError,
};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::support::{
    API, ISSUER, SignedAnswers, app, bearer, block_on, challenge, rejection, seconds, send, status,
};
use crate::x5c::Pki;

/// A server with issuers whose keys come in every way there is.
struct World {
    /// Its keys are in the configuration.
    idp: Idp,
    /// Its keys are fetched.
    fetched: Idp,
    /// It writes no `iss`, as the next.
    unnamed: Idp,
    /// Its keys come with the tokens.
    pki: Pki,
    api: ResourceServer,
    /// Each refusal that observers were told of: its kind, and whose token it was.
    refused: Arc<Mutex<Vec<String>>>,
}

impl World {
    fn with(limit: usize) -> Self {
        Self::of(ResourceServer::builder(API).max_concurrent_verifications(limit))
    }

    fn of(builder: ResourceServerBuilder) -> Self {
        let pki = Pki::new();
        let idp = |iss: &str| Idp::new(iss).clock(pki.clock.clone());
        let (idp, fetched, unnamed) = (idp(ISSUER), idp("https://fetched.example"), idp("-"));
        let refused = Arc::new(Mutex::new(Vec::new()));
        let told = refused.clone();
        let builder = builder
            .issuer(Issuer::new(ISSUER).name("ours").keys(Keys::jwks(idp.jwks())))
            .issuer(fetched.issuer())
            .issuer(Issuer::new(SHARING).keys(Keys::hmac(SECRET, [HmacAlgorithm::HS256])))
            .issuer(Issuer::unnamed("shop").keys(Keys::jwks(unnamed.jwks())))
            .issuer(pki.issuer())
            .clock(pki.clock.clone())
            .observer(move |event: &Event<'_>| {
                if let Event::Refused { kind, issuer, .. } = event {
                    told.lock().unwrap().push(format!("{} {issuer:?}", kind.name()));
                }
            });
        Self { idp, fetched, unnamed, api: builder.build().unwrap(), pki, refused }
    }

    /// A good token that nobody has seen.
    fn new_token(&self) -> String {
        self.idp.token(API).sign()
    }

    /// It names a good key.
    fn forged(&self) -> String {
        self.idp.token(API).by_a_stranger().sign()
    }

    /// What each issuer has made, good and new.
    fn of_each_issuer(&self) -> [(&'static str, String); 5] {
        let shared = self.idp.token(API).claim("iss", SHARING).without_header("kid");
        let shop = self.unnamed.token(API).without_claim("iss");
        [
            ("fixed", self.new_token()),
            ("fetched", self.fetched.token(API).sign()),
            ("shared", shared.sign_hmac(HmacAlgorithm::HS256, &SECRET)),
            ("unnamed", shop.sign()),
            ("certified", self.pki.new_token()),
        ]
    }

    fn fault(&self, token: &str) -> Option<TokenError> {
        block_on(self.api.verify(token)).expect_err("refused").token_error()
    }

    /// A verification that goes on until it is told to end: of a chain by somebody who took the names of ours.
    fn hold(&self, end: End) -> Held {
        let ((entered, has_entered), (leave, may_leave)) = (channel(), channel());
        let subscriber = Registry::default().with(Stopped { entered, may_leave: Mutex::new(may_leave), end });
        let (api, token) = (self.api.clone(), Pki::new().token());
        let verification = thread::spawn(move || {
            // While tracing knows of one subscriber only, other threads can turn its events off.
            let _another = tracing::Dispatch::new(Registry::default());
            tracing::subscriber::with_default(subscriber, || {
                block_on(api.verify(&token)).expect_err("a stranger").token_error()
            })
        });
        has_entered.recv_timeout(PATIENCE).expect("the chain is looked at");
        Held { leave, verification }
    }
}

/// What is said of a chain is said while it is being verified: this stops there.
struct Stopped {
    entered: Sender<()>,
    may_leave: Mutex<Receiver<()>>,
    end: End,
}

/// How a verification ends.
#[derive(Clone, Copy)]
enum End {
    Refused,
    Panics,
}

struct Held {
    leave: Sender<()>,
    verification: thread::JoinHandle<Option<TokenError>>,
}

impl<S: tracing::Subscriber> Layer<S> for Stopped {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != "tower_bearer::keys" {
            return;
        }
        self.entered.send(()).unwrap();
        self.may_leave.lock().unwrap().recv_timeout(PATIENCE).expect("somebody lets it go on");
        assert!(matches!(self.end, End::Refused), "as planned");
    }
}

impl Held {
    fn end(self) -> thread::Result<Option<TokenError>> {
        self.leave.send(()).unwrap();
        self.verification.join()
    }
}

/// Longer than anything here takes.
const PATIENCE: Duration = seconds(60);

/// An issuer that shares a secret with us.
const SHARING: &str = "https://sharing.example";
const SECRET: [u8; 32] = [7; 32];

#[test]
fn beyond_the_limit_new_tokens_are_turned_away_and_nothing_else_is() {
    let world = World::with(1);
    let app = app(&BearerAuthLayer::new(world.api.clone()));
    let answer = |token: &str| block_on(status(&app, bearer(token)));
    let (known, new, chained) = (world.new_token(), world.new_token(), world.pki.token());
    let good = || world.idp.token(API);
    let cheap = [
        ("structure", "junk".to_owned()),
        ("issuer", good().claim("iss", "https://x.example").sign()),
        ("audience", world.idp.token("https://x.example").sign()),
        ("expired", good().claim("exp", 1).sign()),
        ("a key id of no key", good().header("kid", "x").sign()),
        ("no chain", good().without_claim("iss").header("typ", "access").sign()),
    ];
    assert_eq!(answer(&known), StatusCode::OK);
    assert_eq!(answer(&chained), StatusCode::OK);
    assert_eq!(answer(&world.new_token()), StatusCode::OK, "a new one has its turn");
    for (name, token) in &cheap {
        assert_eq!(answer(token), StatusCode::UNAUTHORIZED, "{name}");
    }
    world.refused.lock().unwrap().clear();

    let held = world.hold(End::Refused);
    let busy = block_on(send(&app, bearer(&new)));
    assert_eq!(busy.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(busy.headers()[RETRY_AFTER], BUSY_RETRY_AFTER.as_secs().to_string());
    assert_eq!(challenge(&busy), None);
    let why = rejection(&busy);
    assert_eq!((why.kind(), why.token_error()), (RejectionKind::Busy, None));
    assert_eq!((why.issuer_name(), why.retry_after()), (Some("ours"), Some(BUSY_RETRY_AFTER)));
    assert!(why.kind().is_ours());
    assert_eq!(*world.refused.lock().unwrap(), [r#"busy Some("ours")"#]);
    // A forged one is not told apart: nobody has looked.
    assert_eq!(answer(&world.forged()), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer(&Pki::new().token()), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer(&known), StatusCode::OK);
    assert_eq!(answer(&chained), StatusCode::OK);
    for (name, token) in &cheap {
        assert_eq!(answer(token), StatusCode::UNAUTHORIZED, "{name}");
    }

    assert_eq!(held.end().unwrap(), Some(TokenError::Certificate));
    assert_eq!(answer(&new), StatusCode::OK);
    assert_eq!(world.fault(&world.forged()), Some(TokenError::Signature));
}

#[test]
fn a_call_is_turned_away_in_the_words_of_grpc() {
    let world = World::with(1);
    let app = app(&BearerAuthLayer::new(world.api.clone()));
    let call = || {
        let request = Request::builder().method(Method::POST).header("content-type", "application/grpc");
        let request = request.header("authorization", format!("Bearer {}", world.new_token()));
        block_on(send(&app, request.body(axum::body::Body::empty()).unwrap()))
    };
    assert_eq!(call().status(), StatusCode::METHOD_NOT_ALLOWED, "the layer lets it pass");
    let held = world.hold(End::Refused);
    let busy = call();
    assert_eq!(busy.status(), StatusCode::OK);
    assert_eq!(busy.headers()["grpc-status"], "14");
    assert_eq!(busy.headers()["grpc-retry-pushback-ms"], BUSY_RETRY_AFTER.as_millis().to_string());
    assert_eq!(held.end().unwrap(), Some(TokenError::Certificate));
}

#[test]
fn so_many_and_no_more_and_without_a_limit_any_number() {
    let two = World::with(2);
    assert!(block_on(two.api.verify(&two.new_token())).is_ok());
    let first = two.hold(End::Refused);
    assert!(block_on(two.api.verify(&two.new_token())).is_ok(), "one of two is free");
    let second = two.hold(End::Refused);
    let why = block_on(two.api.verify(&two.new_token())).unwrap_err();
    assert_eq!(why.kind(), RejectionKind::Busy);
    assert!(first.end().is_ok());
    assert!(block_on(two.api.verify(&two.new_token())).is_ok(), "one of two is free again");
    assert!(second.end().is_ok());

    let any = World::of(ResourceServer::builder(API));
    let held = [(); 3].map(|()| any.hold(End::Refused));
    assert!(block_on(any.api.verify(&any.new_token())).is_ok());
    assert!(held.map(Held::end).iter().all(Result::is_ok));
}

#[test]
fn a_turn_is_given_back_however_a_verification_ends() {
    let world = World::with(1);
    let accepts = |name: &str| assert!(block_on(world.api.verify(&world.new_token())).is_ok(), "{name}");
    accepts("at first");
    let good = || world.idp.token(API);
    for (fault, token) in [
        (TokenError::Signature, world.forged()),
        (TokenError::UnknownKey, good().header("kid", "x").sign()),
        (TokenError::ClaimType, good().claim("scope", 7).sign()),
        (TokenError::Confirmation, good().claim("cnf", serde_json::json!({"jkt": "x"})).sign()),
        (TokenError::Certificate, Pki::new().token()),
    ] {
        assert_eq!(world.fault(&token), Some(fault));
        accepts(fault.name());
    }
    let held = world.hold(End::Panics);
    let why = block_on(world.api.verify(&world.new_token())).unwrap_err();
    assert_eq!(why.kind(), RejectionKind::Busy);
    assert!(held.end().is_err(), "it panicked");
    accepts("after a panic");
}

#[test]
fn a_settings_file_has_the_limit_too() {
    let text = format!("resource = \"{API}\"\nLIMIT\n[[issuer]]\niss = \"https://file.example\"");
    for (limit, is_busy) in [("", false), ("max_concurrent_verifications = 1", true)] {
        let settings = Settings::from_toml(&text.replace("LIMIT", limit)).unwrap();
        let world = World::of(settings.builder().unwrap().fetch(Idp::new("https://file.example")));
        assert!(block_on(world.api.verify(&world.new_token())).is_ok());
        let held = world.hold(End::Refused);
        assert_eq!(block_on(world.api.verify(&world.new_token())).is_err(), is_busy, "{limit}");
        assert!(held.end().is_ok());
    }
}

/// Where a token was refused for less by one of two issuers and the other had no turn for it, nobody can say that it is bad.
#[test]
fn keys_of_every_kind_have_turns() {
    let world = World::with(1);
    for (name, token) in world.of_each_issuer() {
        assert!(block_on(world.api.verify(&token)).is_ok(), "{name}");
    }
    let held = world.hold(End::Refused);
    let new = world.of_each_issuer();
    for (name, token) in &new {
        let why = block_on(world.api.verify(token)).expect_err(name);
        assert_eq!(why.kind(), RejectionKind::Busy, "{name}");
    }
    assert!(held.end().is_ok());
    for (name, token) in &new {
        assert!(block_on(world.api.verify(token)).is_ok(), "{name}");
    }
}

/// A signed answer about an opaque token has a signature too. That there is no turn for it is no fault of the endpoint's.
#[test]
fn a_signed_answer_needs_a_turn() {
    let asked = "https://asked.example";
    let idp = Idp::new(asked);
    let introspection =
        Introspection::at(format!("{asked}/introspect")).basic("us", "a-secret-of-ours").signed();
    let issuer = Issuer::new(asked).keys(Keys::jwks(idp.jwks())).introspection(introspection);
    let endpoint = SignedAnswers(move || {
        let answer = idp.token("us").header("typ", "token-introspection+jwt").without_claim("exp");
        answer.claim("token_introspection", json!({"active": true, "aud": API})).sign()
    });
    let failed = Arc::new(Mutex::new(Vec::new()));
    let told = failed.clone();
    let builder = ResourceServer::builder(API).max_concurrent_verifications(1).issuer(issuer.fetch(endpoint));
    let world = World::of(builder.observer(move |event: &Event<'_>| {
        if let Event::LookupFailed { kind, .. } = event {
            told.lock().unwrap().push(*kind);
        }
    }));
    let looked_up = |n: usize| block_on(world.api.verify(&format!("an-opaque-token-{n}")));
    assert!(looked_up(0).is_ok());
    let held = world.hold(End::Refused);
    for n in 1..=BREAKER_FAILURES {
        assert_eq!(looked_up(n).unwrap_err().kind(), RejectionKind::Unavailable);
    }
    assert_eq!(*failed.lock().unwrap(), [LookupErrorKind::Runtime; BREAKER_FAILURES]);
    assert!(held.end().is_ok());
    assert!(looked_up(BREAKER_FAILURES + 1).is_ok());
}

/// A key that is not there yet is no signature: it is fetched while every turn is taken.
#[tokio::test]
async fn a_rotation_is_followed_without_a_turn() {
    let world = World::with(1);
    let token = || world.fetched.token(API).sign();
    assert!(world.api.verify(&token()).await.is_ok());
    world.fetched.rotate();
    let (new, held) = (token(), world.hold(End::Refused));
    let why = world.api.verify(&new).await.unwrap_err();
    assert_eq!((why.kind(), world.fetched.jwks_fetches()), (RejectionKind::Busy, 2));
    assert!(held.end().is_ok());
    assert!(world.api.verify(&new).await.is_ok());
    assert_eq!(world.fetched.jwks_fetches(), 2, "its key was there");
}

/// Threads that forge and threads that are good, as the system runs them.
#[test]
fn under_a_flood_every_answer_is_right_or_busy() {
    let idp = Idp::new(ISSUER);
    let serve = |limit| {
        let issuer = Issuer::new(ISSUER).keys(Keys::jwks(idp.jwks()));
        ResourceServer::builder(API).issuer(issuer).max_concurrent_verifications(limit).build().unwrap()
    };
    let (good, forged) = (idp.token(API).sign(), idp.token(API).by_a_stranger().sign());
    // With as many turns as there are threads below there is always one.
    for (limit, has_room) in [(1, false), (3, true)] {
        let api = serve(limit);
        assert!(block_on(api.verify(&good)).is_ok());
        let (stop, turned_away) = (AtomicBool::new(false), AtomicBool::new(false));
        let flood = || {
            while !stop.load(Ordering::Relaxed) {
                let why = block_on(api.verify(&forged)).unwrap_err();
                match why.kind() {
                    RejectionKind::Busy => turned_away.store(true, Ordering::Relaxed),
                    _ => assert_eq!(why.token_error(), Some(TokenError::Signature)),
                }
                assert!(block_on(api.verify(&good)).is_ok(), "known");
            }
        };
        let begin = Instant::now();
        thread::scope(|scope| {
            scope.spawn(flood);
            scope.spawn(flood);
            for sent in 0.. {
                let seen = turned_away.load(Ordering::Relaxed);
                if sent >= 100 && (has_room || seen || begin.elapsed() > PATIENCE) {
                    break;
                }
                match block_on(api.verify(&idp.token(API).sign())) {
                    Err(why) if why.kind() == RejectionKind::Busy => {
                        turned_away.store(true, Ordering::Relaxed)
                    }
                    answer => drop(answer.unwrap()),
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(turned_away.load(Ordering::Relaxed), !has_room, "limit {limit}");
        assert!(block_on(api.verify(&idp.token(API).sign())).is_ok(), "every turn was given back");
    }
}
