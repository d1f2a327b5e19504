//! What is remembered of answers, and for how long.

use serde_json::{Value, json};
use tower_bearer::manual::defaults::{ACTIVE_FOR, ENDLESS_ACTIVE_FOR, REFUSED_FOR};
use tower_bearer::{ResourceServerBuilder, TokenError};

use super::{Book, OPAQUE, World};
use crate::support::{API, seconds};

#[tokio::test]
async fn a_revoked_token_is_good_no_longer_than_the_bound() {
    let world = World::new();
    assert!(world.accepts(OPAQUE).await);
    world.book.revoke(OPAQUE);
    world.clock.advance(ACTIVE_FOR - seconds(1));
    assert!(world.accepts(OPAQUE).await);
    assert_eq!(world.book.asked(), [OPAQUE], "asked once");
    // That it was used does not keep it.
    world.clock.advance(seconds(1));
    assert_eq!(world.fault(OPAQUE).await, Some(TokenError::Inactive));
}

/// Tokens that end alike do not push each other out, and one is never taken for the other.
#[tokio::test]
async fn all_of_an_opaque_token_tells_it_from_others() {
    let world = World::new();
    let tokens = ["one", "two", "six"].map(|start| format!("{start}-of-the-same-clients-tokens"));
    for (client, token) in tokens.iter().enumerate() {
        let mut claims = world.claims();
        claims["client_id"] = json!(client.to_string());
        world.book.say(token, claims);
    }
    for _ in 0..20 {
        for (client, token) in tokens.iter().enumerate() {
            assert_eq!(world.verify(token).await.unwrap().client_id(), Some(client.to_string().as_str()));
        }
    }
    assert_eq!(world.book.asked(), tokens);
}

/// RFC 7662 §4.
#[tokio::test]
async fn nothing_is_remembered_past_its_end() {
    let world = World::new();
    let mut claims = world.claims();
    claims["exp"] = json!(world.at(20));
    world.book.say(OPAQUE, claims);
    assert!(world.accepts(OPAQUE).await);
    world.clock.advance(seconds(18));
    assert!(world.accepts(OPAQUE).await);
    assert_eq!(world.book.asked().len(), 1);
    // Within the leeway it may still be good, and that is for its issuer to say.
    world.clock.advance(seconds(2));
    assert!(world.accepts(OPAQUE).await && world.accepts(OPAQUE).await);
    assert_eq!(world.book.asked().len(), 3);
    world.clock.advance(seconds(60));
    assert_eq!(world.fault(OPAQUE).await, Some(TokenError::Expired));
}

#[tokio::test]
async fn an_endless_one_is_asked_about_sooner() {
    let world = World::new();
    let mut claims = world.claims();
    claims.as_object_mut().unwrap().remove("exp");
    world.book.say(OPAQUE, claims);
    assert!(world.accepts(OPAQUE).await);
    world.book.revoke(OPAQUE);
    world.clock.advance(ENDLESS_ACTIVE_FOR - seconds(1));
    assert!(world.accepts(OPAQUE).await);
    world.clock.advance(seconds(1));
    assert!(!world.accepts(OPAQUE).await);
}

#[tokio::test]
async fn the_time_counts_from_the_question() {
    let world = World::new();
    world.book.hang("");
    let waits = tokio::spawn({
        let api = world.api.clone();
        async move { api.verify(OPAQUE).await.is_ok() }
    });
    while world.book.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    world.clock.advance(seconds(2));
    world.book.hang(None);
    assert!(waits.await.unwrap());
    world.book.revoke(OPAQUE);
    world.clock.advance(ACTIVE_FOR - seconds(2));
    assert!(!world.accepts(OPAQUE).await);
}

#[tokio::test]
async fn a_refused_token_is_not_asked_about_again_so_soon() {
    let world = World::new();
    let foreign = json!({"active": true, "aud": "https://other.example.com", "client_id": "robot"});
    world.book.say("for-another-api", foreign);
    for (token, fault) in [("made-up-token", TokenError::Inactive), ("for-another-api", TokenError::Audience)]
    {
        for _ in 0..5 {
            assert_eq!(world.fault(token).await, Some(fault));
        }
        assert_eq!(world.book.asked_about(token), 1);
        // It was issued meanwhile, or for us too.
        world.book.say(token, world.claims());
        world.clock.advance(REFUSED_FOR - seconds(1));
        assert_eq!(world.fault(token).await, Some(fault));
        world.clock.advance(seconds(1));
        assert_eq!(world.fault(token).await, None);
        assert_eq!(world.book.asked_about(token), 2);
    }
    assert!(world.accepts(OPAQUE).await);
}

#[tokio::test]
async fn without_a_cache_each_request_asks() {
    let world = World::with(|issuer| issuer, ResourceServerBuilder::without_cache);
    for _ in 0..3 {
        assert!(world.accepts(OPAQUE).await);
    }
    world.book.revoke(OPAQUE);
    assert!(!world.accepts(OPAQUE).await);
    assert_eq!(world.book.asked().len(), 4);
}

#[tokio::test]
async fn what_cannot_be_a_token_is_not_asked_about() {
    let world = World::new();
    let (short, long) = ("a".repeat(8), "a".repeat(4096));
    // The first of these begins with `{` in base64url, by chance.
    let random = "ewqPx93kfZ_mXvbl2K3nR5tYu7iOpAsDfGhJkLzXcVb.NmQ1We3Rt5Yu7Io9Pa2Sd4Fg6Hj8Kl0Zx1Cv3Bn5Mq";
    for token in [random, &short, &long, "a.b.c.d.e", "a+b/c~d-e_f.g==", "v4.public.abc"] {
        world.book.say(token, world.claims());
        assert_eq!(world.fault(token).await, None, "{}", token.len());
    }
    let asked = world.book.asked().len();
    let jwt = "eyJhbGciOiJIUzI1NiJ9";
    for token in [
        "",
        &short[1..],
        &format!("{long}a"),
        &"a".repeat(20_000),
        "abcdefgh=i",
        "========",
        "abc defgh",
        "abcdefgh\n",
        "abcdefghä",
        "abc,defgh",
        "abc%20defgh",
        &format!("{jwt}.e30"),
        &format!("{jwt}.e30."),
        &format!("{jwt}.e30.c2ln.c2ln"),
    ] {
        // Somebody knows it, and nobody is asked.
        world.book.say(token, world.claims());
        let refused = world.fault(token).await;
        assert!(refused.is_some(), "{token:.30}");
        assert_eq!(world.book.asked().len(), asked, "{token:.30}");
    }
}

#[tokio::test]
async fn an_answer_is_one_servers_own() {
    let (one, book) = (World::new(), Book::new());
    let other = World::with(
        {
            let book = book.clone();
            move |_| tower_bearer::Issuer::unnamed("book").lookup(book)
        },
        |builder| builder,
    );
    assert!(one.accepts(OPAQUE).await);
    assert!(!other.accepts(OPAQUE).await);
    assert_eq!(book.asked(), [OPAQUE]);
    assert_eq!(one.verify(OPAQUE).await.unwrap().claims::<Value>().unwrap()["aud"], API);
}
