//! JWTs and opaque tokens at one server: which goes where.

use http::StatusCode;
use serde_json::json;
use tower_bearer::testing::{Idp, ManualClock};
use tower_bearer::{
    BearerAuthLayer, Clock, Issuer, KeyState, Keys, RejectionKind, ResourceServer, TokenError,
};

use super::{Book, OPAQUE, is_unavailable};
use crate::support::{API, ISSUER, app, bearer, seconds, status};

/// An issuer of both kinds, and a server that verifies the one and looks up the other.
struct Hybrid {
    clock: ManualClock,
    idp: Idp,
    book: Book,
    api: ResourceServer,
}

impl Hybrid {
    fn new() -> Self {
        Self::of(|issuer, _| issuer.keys(Keys::discovery()))
    }

    fn of(configure: impl FnOnce(Issuer, &Idp) -> Issuer) -> Self {
        let (clock, book) = (ManualClock::new(), Book::new());
        let idp = Idp::new(ISSUER).clock(clock.clone());
        let issuer = configure(idp.issuer().lookup(book.clone()), &idp);
        let api = ResourceServer::builder(API).clock(clock.clone()).issuer(issuer).build().unwrap();
        book.say(OPAQUE, json!({"aud": API, "client_id": "robot", "scope": "a"}));
        Self { clock, idp, book, api }
    }
}

#[tokio::test]
async fn each_kind_goes_its_way() {
    let Hybrid { idp, book, api, .. } = Hybrid::new();
    assert!(api.verify(&idp.token(API).sign()).await.is_ok());
    assert!(book.asked().is_empty());
    assert!(api.verify(OPAQUE).await.is_ok());
    assert_eq!((book.asked(), idp.jwks_fetches()), (vec![OPAQUE.to_owned()], 1));
}

/// Whatever is wrong with it, and whatever would be said of it.
#[tokio::test]
async fn a_jwt_that_fails_is_never_asked_about() {
    let Hybrid { idp, book, api, .. } = Hybrid::new();
    let good = idp.token(API).sign();
    assert!(api.verify(&good).await.is_ok());
    let (head, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = head.split_once('.').unwrap();
    let changed = |text: &str| {
        if let Some(rest) = text.strip_suffix('A') {
            format!("{rest}B")
        } else {
            format!("{}A", &text[..text.len() - 1])
        }
    };
    let none = idp.token(API).sign_raw(r#"{"alg":"none"}"#, &idp.token(API).claims_json());
    for token in [
        Idp::new(ISSUER).token(API).sign(),
        idp.token(API).claim("exp", 1).sign(),
        idp.token("https://other.example.com").sign(),
        idp.token(API).claim("iss", "https://other.example.com").sign(),
        idp.token(API).without_claim("iss").sign(),
        idp.token(API).header("typ", "logout+jwt").sign(),
        idp.token(API).header("crit", json!(["x"])).sign(),
        idp.token(API).header("kid", 7).sign(),
        idp.token(API).claim("cnf", json!({"jkt": "x"})).sign(),
        none.clone(),
        format!("{}.", none.rsplit_once('.').unwrap().0),
        format!("{header}.{payload}.{}", changed(signature)),
        format!("{header}.{}.{signature}", changed(payload)),
        format!("{header}.{payload}"),
        format!("{header}.{payload}.{signature}."),
        format!("{header}.{payload}.{signature}.x"),
        format!("{header}.{payload}.{signature}="),
        format!("{header}..{signature}"),
    ] {
        book.say(&token, json!({"aud": API, "client_id": "robot"}));
        let refused = api.verify(&token).await.unwrap_err();
        assert_eq!(refused.kind(), RejectionKind::InvalidToken, "{token}");
        assert!(book.asked().is_empty(), "{token}");
    }
    // What is encrypted is opaque to us.
    let encrypted = format!("{header}.a.b.c.d");
    book.say(&encrypted, json!({"aud": API}));
    assert!(api.verify(&encrypted).await.is_ok());
}

#[tokio::test]
async fn one_kind_does_not_suffer_from_the_other() {
    let Hybrid { clock, idp, book, api } = Hybrid::new();
    idp.go_down();
    let jwt = idp.token(API).expires_in(seconds(100_000)).sign();
    assert!(is_unavailable(&api.verify(&jwt).await));
    // Twice: what is remembered of an opaque token does not rest on keys.
    assert!(api.verify(OPAQUE).await.is_ok() && api.verify(OPAQUE).await.is_ok());
    assert_eq!(book.asked().len(), 1);
    idp.come_back();
    clock.advance(seconds(60));
    assert!(api.verify(&jwt).await.is_ok());
    book.fail(tower_bearer::LookupErrorKind::Connection);
    clock.advance(seconds(60));
    assert!(is_unavailable(&api.verify(OPAQUE).await));
    assert!(api.verify(&jwt).await.is_ok());
}

#[tokio::test]
async fn without_keys_a_jwt_that_names_the_issuer_is_looked_up() {
    let Hybrid { idp, book, api, .. } = Hybrid::of(|issuer, _| issuer);
    let jwt = idp.token(API).sign();
    assert_eq!(api.verify(&jwt).await.unwrap_err().token_error(), Some(TokenError::Inactive));
    let other = idp.token(API).claim("jti", "another").sign();
    book.say(&other, json!({"aud": API, "client_id": "robot", "iss": ISSUER}));
    assert_eq!(api.verify(&other).await.unwrap().client_id(), Some("robot"));
    assert!(api.verify(&other).await.is_ok());
    assert_eq!(book.asked(), [jwt, other]);
    for foreign in [
        idp.token(API).claim("iss", "https://other.example.com").sign(),
        idp.token(API).without_claim("iss").sign(),
        idp.token(API).sign_raw(r#"{"alg":"none"}"#, "{}"),
        idp.token(API).header("typ", "logout+jwt").sign(),
        idp.token(API).header("typ", "token-introspection+jwt").sign(),
        idp.token(API).claim("token_introspection", json!({"active": true})).sign(),
    ] {
        book.say(&foreign, json!({"aud": API}));
        let refused = api.verify(&foreign).await.unwrap_err();
        assert_eq!(refused.kind(), RejectionKind::InvalidToken);
    }
    assert_eq!(book.asked().len(), 2);
    assert!(idp.fetched().is_empty(), "it has no keys");
    let health = api.health();
    assert_eq!(health.issuers().next().unwrap().state(), KeyState::LookedUp);
    assert!(api.is_ready());
    api.warm_up().await.unwrap();
    assert_eq!(api.block_key(ISSUER, "any"), Ok(false));
}

/// Also if the answer says less.
#[tokio::test]
async fn a_jwt_that_is_looked_up_is_good_for_no_more_than_it_says() {
    let Hybrid { clock, idp, book, api, .. } = Hybrid::of(|issuer, _| issuer);
    let said = json!({"aud": API, "client_id": "robot"});
    let now = i64::try_from(clock.now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()).unwrap();
    for (name, good) in [
        ("all of it", idp.token(API)),
        ("no end", idp.token(API).without_claim("exp")),
        ("no audience", idp.token(API).without_claim("aud")),
        ("an end within the leeway", idp.token(API).claim("exp", now - 59)),
        ("bound to nothing", idp.token(API).claim("cnf", json!({}))),
    ] {
        let good = good.sign();
        book.say(&good, said.clone());
        assert!(api.verify(&good).await.is_ok(), "{name}");
    }
    let asked = book.asked().len();
    for (bad, fault) in [
        (idp.token(API).claim("cnf", json!({"jkt": "x"})), TokenError::Confirmation),
        (idp.token(API).claim("cnf", 1), TokenError::ClaimType),
        (idp.token(API).claim("exp", now - 60), TokenError::Expired),
        (idp.token(API).claim("exp", "never"), TokenError::Time),
        (idp.token(API).claim("nbf", now + 61), TokenError::NotYetValid),
        (idp.token("https://other.example.com"), TokenError::Audience),
        (idp.token(API).claim("aud", json!([])), TokenError::Audience),
    ] {
        let bad = bad.sign();
        book.say(&bad, said.clone());
        assert_eq!(api.verify(&bad).await.unwrap_err().token_error(), Some(fault));
    }
    assert_eq!(book.asked().len(), asked);
}

/// Also if it is remembered, and the answer says that it ends later.
#[tokio::test]
async fn a_jwt_that_is_looked_up_is_remembered_for_no_longer_than_it_says() {
    for (own, fault) in [(10_000, None), (30, Some(TokenError::Expired))] {
        for said in [json!({"aud": API}), json!({"aud": API, "exp": 4_102_444_800_u64})] {
            let Hybrid { clock, idp, book, api, .. } = Hybrid::of(|issuer, _| issuer);
            let jwt = idp.token(API).expires_in(seconds(own)).sign();
            book.say(&jwt, said);
            // Within the leeway, and shortly before its end.
            clock.advance(seconds(85));
            assert!(api.verify(&jwt).await.is_ok());
            clock.advance(seconds(6));
            assert_eq!(api.verify(&jwt).await.err().map(|why| why.token_error()), fault.map(Some));
            assert_eq!(book.asked(), [jwt]);
        }
    }
}

/// What is said on a live route takes the place of what was remembered for the others.
#[tokio::test]
async fn nor_for_longer_where_it_was_asked_about_again() {
    for (own, fault) in [(10_000, None), (30, Some(TokenError::Expired))] {
        let Hybrid { clock, idp, book, api, .. } = Hybrid::of(|issuer, _| issuer);
        let live = app(&BearerAuthLayer::new(api.clone()).live());
        let jwt = idp.token(API).expires_in(seconds(own)).sign();
        book.say(&jwt, json!({"aud": API, "exp": 4_102_444_800_u64}));
        assert!(api.verify(&jwt).await.is_ok());
        clock.advance(seconds(50));
        assert_eq!(status(&live, bearer(&jwt)).await, StatusCode::OK);
        // Within the leeway.
        clock.advance(seconds(39));
        assert!(api.verify(&jwt).await.is_ok());
        assert_eq!(book.asked_about(&jwt), 2, "it is remembered");
        clock.advance(seconds(2));
        assert_eq!(api.verify(&jwt).await.err().map(|why| why.token_error()), fault.map(Some));
    }
}

/// It is 401 as long as one has refused it and the other has no key for it, whoever is waited for.
#[tokio::test]
async fn what_one_has_refused_is_refused_when_the_other_has_fetched() {
    let (clock, book) = (ManualClock::new(), Book::new());
    let idp = Idp::new(ISSUER).clock(clock.clone());
    let api = ResourceServer::builder(API)
        .clock(clock.clone())
        .issuer(Issuer::unnamed("keys").keys(Keys::jwks_url(format!("{ISSUER}/jwks"))))
        .issuer(Issuer::unnamed("book").lookup(book.clone()).token_prefix("ey"))
        .fetch(idp.clone())
        .build()
        .unwrap();
    assert!(api.verify(&idp.token(API).without_claim("iss").sign()).await.is_ok());
    let stranger = || Idp::new(ISSUER).clock(clock.clone()).token(API).without_claim("iss");
    let known = stranger().sign();
    book.say(&known, json!({"aud": API}));
    assert!(api.verify(&known).await.is_ok());
    // Without a kid nobody knows that no key has it, and each time the keys may be fetched.
    for (unknown, fetched) in [(stranger().sign(), 1), (stranger().without_header("kid").sign(), 2)] {
        let before = idp.jwks_fetches();
        for _ in 0..7 {
            assert_eq!(api.verify(&unknown).await.unwrap_err().kind(), RejectionKind::InvalidToken);
            clock.advance(seconds(1));
        }
        assert_eq!(book.asked_about(&unknown), 1);
        assert!(idp.jwks_fetches() >= before + fetched, "it was waited for");
        clock.advance(seconds(600));
    }
}

/// Keys are tried first; nobody is asked about a token that they have verified.
#[tokio::test]
async fn a_jwt_without_iss_goes_to_the_unnamed_ones() {
    let (clock, book) = (ManualClock::new(), Book::new());
    let idp = Idp::new(ISSUER).clock(clock.clone());
    let api = ResourceServer::builder(API)
        .clock(clock.clone())
        .issuer(Issuer::unnamed("book").lookup(book.clone()).token_prefix("ey"))
        .issuer(Issuer::unnamed("opaque").lookup(Book::new()))
        .issuer(Issuer::unnamed("keys").keys(Keys::jwks(idp.jwks())))
        .build()
        .unwrap();
    let nameless = |idp: &Idp| idp.token(API).without_claim("iss");
    assert_eq!(api.verify(&nameless(&idp).sign()).await.unwrap().issuer_name(), "keys");
    assert!(book.asked().is_empty());
    let strangers = nameless(&Idp::new(ISSUER)).sign();
    assert!(api.verify(&strangers).await.is_err());
    let known = nameless(&Idp::new(ISSUER)).sign();
    book.say(&known, json!({"aud": API}));
    assert_eq!(api.verify(&known).await.unwrap().issuer_name(), "book");
    assert_eq!(book.asked(), [strangers, known.clone()]);
    // A layer that does not trust the book does not take its word, nor ask it.
    let narrow = BearerAuthLayer::new(api.clone()).issuers(["keys"]);
    assert_eq!(status(&app(&narrow), bearer(&known)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&app(&narrow), bearer(OPAQUE)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(book.asked().len(), 2);
}

/// It may be the other one's, whose keys have not come, or who is not trusted here.
#[tokio::test]
async fn a_jwt_of_nobody_in_particular_is_told_to_nobody() {
    let (book, idp) = (Book::new(), Idp::new(ISSUER));
    let nameless = idp.token(API).without_claim("iss").sign();
    for token in [OPAQUE, &nameless] {
        book.say(token, json!({"aud": API}));
    }
    let alone = ResourceServer::builder(API).issuer(Issuer::unnamed("book").lookup(book.clone()));
    let keys = Issuer::unnamed("keys").keys(Keys::jwks_url(format!("{ISSUER}/jwks")));
    let both = ResourceServer::builder(API).issuer(Issuer::unnamed("book").lookup(book.clone())).issuer(keys);
    let (alone, both) = (alone.build().unwrap(), both.fetch(idp.clone()).build().unwrap());
    assert_eq!(alone.verify(&nameless).await.unwrap().issuer_name(), "book");
    assert_eq!(book.asked(), std::slice::from_ref(&nameless));
    idp.go_down();
    assert!(is_unavailable(&both.verify(&nameless).await));
    assert_eq!(both.verify(OPAQUE).await.unwrap().issuer_name(), "book");
    let narrow = app(&BearerAuthLayer::new(both).issuers(["book"]));
    assert_eq!(status(&narrow, bearer(&nameless)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&narrow, bearer(OPAQUE)).await, StatusCode::OK);
    assert_eq!(book.asked(), [nameless, OPAQUE.to_owned()]);
}

/// A JWT without `iss` is told to those alone whose tokens start like it.
#[tokio::test]
async fn prefixes_hold_for_jwts() {
    let (personal, others) = (Book::new(), Book::new());
    let api = ResourceServer::builder(API)
        .issuer(Issuer::unnamed("others").lookup(others.clone()).token_prefix("ey"))
        .issuer(Issuer::unnamed("personal").lookup(personal.clone()).token_prefix("pat_"))
        .build()
        .unwrap();
    let nameless = || Idp::new(ISSUER).token(API).without_claim("iss").sign();
    let (known, unknown) = (nameless(), nameless());
    for book in [&personal, &others] {
        book.say(&known, json!({"aud": API}));
    }
    assert_eq!(api.verify(&known).await.unwrap().issuer_name(), "others");
    assert_eq!(api.verify(&unknown).await.unwrap_err().token_error(), Some(TokenError::Inactive));
    assert_eq!((personal.asked(), others.asked()), (vec![], vec![known, unknown]));
}

#[tokio::test]
async fn prefixes_tell_two_apart() {
    let (personal, others) = (Book::new(), Book::new());
    let api = ResourceServer::builder(API)
        .issuer(Issuer::unnamed("others").lookup(others.clone()))
        .issuer(Issuer::unnamed("personal").lookup(personal.clone()).token_prefix("pat_"))
        .build()
        .unwrap();
    for token in ["pat_1234567", "PAT_1234567", "1234567pat_"] {
        personal.say(token, json!({"aud": API}));
        others.say(token, json!({"aud": API}));
    }
    for (token, issuer) in [("pat_1234567", "personal"), ("PAT_1234567", "others"), ("1234567pat_", "others")]
    {
        assert_eq!(api.verify(token).await.unwrap().issuer_name(), issuer);
    }
    assert_eq!((personal.asked().len(), others.asked().len()), (1, 2));
    // One that is not trusted here is no reason to ask the other.
    let narrow = app(&BearerAuthLayer::new(api.clone()).issuers(["others"]));
    others.say("pat_7654321", json!({"aud": API}));
    assert_eq!(status(&narrow, bearer("pat_7654321")).await, StatusCode::UNAUTHORIZED);
    assert_eq!(
        status(&narrow, bearer("pat_1234567")).await,
        StatusCode::UNAUTHORIZED,
        "also if it is remembered"
    );
    assert_eq!(status(&narrow, bearer("PAT_1234567")).await, StatusCode::OK);
    assert_eq!((personal.asked().len(), others.asked().len()), (1, 2));
}
