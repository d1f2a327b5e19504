//! Mistakes in the configuration are found when the server is built.

use tower_bearer::testing::Idp;
use tower_bearer::{ConfigErrorKind, HmacAlgorithm, Introspection, Issuer, Keys, KongTokens, ResourceServer};

use super::Book;
use crate::support::{API, ISSUER};

fn built(issuers: impl IntoIterator<Item = Issuer>) -> Result<(), (ConfigErrorKind, String)> {
    let builder = ResourceServer::builder(API).fetch(Idp::new(ISSUER));
    let built = issuers.into_iter().fold(builder, |builder, issuer| builder.issuer(issuer)).build();
    built.map(drop).map_err(|error| {
        let text = error.to_string();
        assert!(!text.contains("SECRET"), "{text}");
        (error.kind(), error.path().to_owned())
    })
}

#[test]
fn every_mistake_beside_what_is_right() {
    use ConfigErrorKind as K;
    let at = "https://id.example.com/introspect";
    let issuer = || Issuer::new(ISSUER);
    let basic = |introspection: Introspection| introspection.basic("api", "SECRET");
    assert_eq!(built([issuer().introspection(basic(Introspection::at(at)))]), Ok(()));
    assert_eq!(
        built([issuer().introspection(Introspection::at("https://10.0.0.7/x").post("api", "SECRET"))]),
        Ok(())
    );
    assert_eq!(built([issuer().introspection(Introspection::discovered().bearer("SECRET"))]), Ok(()));
    let here = Introspection::at("http://127.0.0.1:1/x");
    assert_eq!(built([issuer().introspection(basic(here)).dangerous_allow_http()]), Ok(()));
    let keys = || Keys::jwks(Idp::new(ISSUER).jwks());
    let bearer = || Introspection::at(at).bearer("SECRET");
    for signed in [
        issuer().introspection(basic(Introspection::at(at)).signed()).keys(Keys::discovery()),
        issuer().keys(keys()).introspection(Introspection::discovered().signed().post("api", "SECRET")),
        issuer().keys(keys()).introspection(bearer().signed_for("api")),
        issuer().keys(keys()).introspection(bearer().signed().signed_for("api")),
    ] {
        assert_eq!(built([signed]), Ok(()));
    }
    let introspection = "issuer[0].introspection";
    let signed = "issuer[0].introspection.signed";
    for (name, wrong, kind, path) in [
        ("nobody asks", issuer().introspection(Introspection::at(at)), K::Lookup, introspection),
        (
            "no id",
            issuer().introspection(Introspection::at(at).basic("", "SECRET")),
            K::Lookup,
            introspection,
        ),
        ("no id", issuer().introspection(Introspection::at(at).post("", "SECRET")), K::Lookup, introspection),
        (
            "no secret",
            issuer().introspection(Introspection::at(at).basic("api", "")),
            K::Lookup,
            introspection,
        ),
        (
            "no secret",
            issuer().introspection(Introspection::at(at).post("api", "")),
            K::Lookup,
            introspection,
        ),
        ("no token", issuer().introspection(Introspection::at(at).bearer("")), K::Lookup, introspection),
        (
            "an odd token",
            issuer().introspection(Introspection::at(at).bearer("SECRET\n")),
            K::Lookup,
            introspection,
        ),
        ("no URL", issuer().introspection(basic(Introspection::at("id.example.com"))), K::Url, introspection),
        (
            "http",
            issuer().introspection(basic(Introspection::at("http://127.0.0.1/"))),
            K::Url,
            introspection,
        ),
        (
            "http elsewhere",
            issuer().introspection(basic(Introspection::at("http://id.example.com/"))).dangerous_allow_http(),
            K::Url,
            introspection,
        ),
        (
            "the cloud",
            issuer().introspection(basic(Introspection::at("https://169.254.169.254/"))),
            K::Url,
            introspection,
        ),
        (
            "a password in the URL",
            issuer().introspection(basic(Introspection::at("https://a:SECRET@id.example.com/"))),
            K::Url,
            introspection,
        ),
        (
            "nobody to ask",
            Issuer::unnamed("x").introspection(basic(Introspection::discovered())),
            K::Lookup,
            introspection,
        ),
        (
            "signed, and no keys",
            issuer().introspection(basic(Introspection::at(at)).signed()),
            K::Lookup,
            signed,
        ),
        (
            "signed, and a shared secret",
            issuer()
                .introspection(basic(Introspection::at(at)).signed())
                .keys(Keys::hmac([7; 32], [HmacAlgorithm::HS256])),
            K::Lookup,
            signed,
        ),
        (
            "signed, by nobody in particular",
            Issuer::unnamed("x").keys(keys()).introspection(basic(Introspection::at(at)).signed()),
            K::Lookup,
            signed,
        ),
        ("signed, for whom", issuer().keys(keys()).introspection(bearer().signed()), K::Lookup, signed),
        (
            "signed, for whom, at last",
            issuer().keys(keys()).introspection(bearer().signed_for("api").signed()),
            K::Lookup,
            signed,
        ),
        (
            "signed for nobody",
            issuer().keys(keys()).introspection(bearer().signed_for("")),
            K::Lookup,
            "issuer[0].introspection.signed_for",
        ),
        (
            "signed, and nobody asks",
            issuer().keys(keys()).introspection(Introspection::at(at).signed()),
            K::Lookup,
            introspection,
        ),
        (
            "an empty prefix",
            issuer().lookup(Book::new()).token_prefix(""),
            K::Lookup,
            "issuer[0].token_prefix",
        ),
        (
            "an odd prefix",
            issuer().lookup(Book::new()).token_prefix("a b"),
            K::Lookup,
            "issuer[0].token_prefix",
        ),
        ("a prefix of nothing", issuer().token_prefix("pat_"), K::Lookup, "issuer[0].token_prefix"),
        (
            "a snapshot of no keys",
            issuer().lookup(Book::new()).snapshot("keys.json"),
            K::Keys,
            "issuer[0].snapshot",
        ),
    ] {
        assert_eq!(built([wrong]), Err((kind, path.to_owned())), "{name}");
    }
    assert_eq!(built([issuer().lookup(Book::new()).keys(Keys::discovery()).snapshot("keys.json")]), Ok(()));
}

#[test]
fn two_whose_tokens_look_the_same() {
    let one = || Issuer::new(ISSUER).lookup(Book::new());
    let other = || Issuer::unnamed("other").lookup(Book::new());
    let same = Err((ConfigErrorKind::Lookup, "issuer[1].token_prefix".to_owned()));
    assert_eq!(built([one(), other()]), same);
    assert_eq!(built([one().token_prefix("a_"), other().token_prefix("a_")]), same);
    assert_eq!(built([one(), other().token_prefix("a_")]), Ok(()));
    assert_eq!(built([one().token_prefix("a_"), other().token_prefix("a_b")]), Ok(()));
    assert_eq!(built([one(), Issuer::new("https://keys.example.com")]), Ok(()));
}

#[test]
fn kongs_admin_port_is_here_or_behind_tls() {
    let idp = Idp::new(ISSUER);
    for url in ["http://127.0.0.1:8001", "http://localhost:8001/", "https://kong.internal:8444"] {
        assert!(KongTokens::at(url, idp.clone()).is_ok(), "{url}");
    }
    for url in ["http://kong:8001", "kong", "https://a:SECRET@kong"] {
        let error = KongTokens::at(url, idp.clone()).unwrap_err();
        assert_eq!((error.kind(), error.path()), (ConfigErrorKind::Url, "url"), "{url}");
    }
}

#[test]
fn nothing_of_ours_is_printed() {
    let at = || Introspection::at("https://id.example.com/introspect?SECRET");
    for introspection in
        [at().basic("SECRET", "SECRET"), at().post("SECRET", "SECRET"), at().bearer("SECRET")]
    {
        let shown = format!("{introspection:?}");
        assert!(!shown.contains("SECRET"), "{shown}");
        let issuer = Issuer::new(ISSUER).introspection(introspection);
        let shown = format!("{issuer:?}");
        assert!(!shown.contains("SECRET") && shown.contains("Introspection"), "{shown}");
    }
}
