//! Keys that come with the tokens: certificate chains in `x5c` (RFC 7515 §4.1.6), up to a pinned root.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature as aws;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestRunner};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose, NameConstraints, PublicKeyData, SigningKey,
};
use serde_json::{Map, Value, json};
use tower_bearer::manual::defaults::{MAX_CHAIN_LENGTH, MAX_KNOWN_CHAINS};
use tower_bearer::testing::ManualClock;
use tower_bearer::{
    Clock, ConfigError, ConfigErrorKind, Event, Introspection, Issuer, KeyState, Keys, Profile,
    RejectionKind, ResourceServer, Token, TokenError,
};

use crate::leaks::captured;
use crate::support::{API, ISSUER, SignedAnswers, seconds};

type Authority = CertifiedIssuer<'static, KeyPair>;
type Change<'a> = &'a dyn Fn(&mut CertificateParams);

const DAY: u64 = 24 * 60 * 60;

/// A root, an authority below it, and a signer of tokens below that, all with Ed25519, as Tarkov Database has them.
pub(crate) struct Pki {
    pub(crate) clock: ManualClock,
    root: Authority,
    middle: Authority,
    leaf: Signer,
}

/// Who signs tokens, with a certificate.
struct Signer {
    der: Vec<u8>,
    key: KeyPair,
}

const SAME: Change<'_> = &|_| ();

impl Pki {
    pub(crate) fn new() -> Self {
        Self::with(SAME, SAME, SAME)
    }

    fn with(root: Change<'_>, middle: Change<'_>, leaf: Change<'_>) -> Self {
        let clock = ManualClock::at(now());
        let root = Authority::self_signed(changed(authority("root"), root), ed25519()).unwrap();
        let middle = Authority::signed_by(changed(authority("middle"), middle), ed25519(), &root).unwrap();
        let leaf = Signer::below(&middle, ed25519(), leaf);
        Self { clock, root, middle, leaf }
    }

    fn chain(&self) -> Vec<Value> {
        chain([&*self.leaf.der, self.middle.der()])
    }

    pub(crate) fn token(&self) -> String {
        self.leaf.token(self.chain())
    }

    /// No two are the same.
    pub(crate) fn new_token(&self) -> String {
        let mut claims = claims();
        claims["jti"] = STANDARD.encode(ed25519().public_key_raw()).into();
        let header = json!({"alg": "EdDSA", "typ": "access", "x5c": self.chain()});
        self.leaf.sign(&header, &claims)
    }

    pub(crate) fn issuer(&self) -> Issuer {
        tarkov().keys(Keys::x5c(self.root.pem()))
    }

    fn api(&self) -> ResourceServer {
        build(&self.clock, [self.issuer()]).unwrap()
    }

    fn serve(&self, roots: &str) -> ResourceServer {
        build(&self.clock, [tarkov().keys(Keys::x5c(roots))]).unwrap()
    }
}

impl Signer {
    fn below(authority: &Authority, key: KeyPair, change: Change<'_>) -> Self {
        let certificate = changed(signer(), change).signed_by(&key, authority).unwrap();
        Self { der: certificate.der().to_vec(), key }
    }

    /// A token as Tarkov Database writes it.
    fn token(&self, x5c: impl Into<Value>) -> String {
        self.token_of("EdDSA", Value::Object(Map::from_iter([("x5c".to_owned(), x5c.into())])))
    }

    fn token_of(&self, alg: &str, members: Value) -> String {
        let mut header = json!({"alg": alg, "typ": "access"});
        if let (Value::Object(header), Value::Object(members)) = (&mut header, members) {
            header.extend(members);
        }
        self.sign(&header, &claims())
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let encode = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let input = format!("{}.{}", encode(header), encode(claims));
        let signature = sign(&self.key, header["alg"].as_str().unwrap(), input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn thumbprint(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.key.public_key_raw());
        let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        URL_SAFE_NO_PAD.encode(digest(&SHA256, jwk.as_bytes()))
    }
}

/// In whole seconds, as certificates have it.
fn now() -> SystemTime {
    UNIX_EPOCH + seconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs())
}

fn ed25519() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap()
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = (now() - seconds(DAY)).into();
    params.not_after = (now() + seconds(30 * DAY)).into();
    params
}

fn authority(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn signer() -> CertificateParams {
    let mut params = named("signer");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params
}

fn changed(mut params: CertificateParams, change: Change<'_>) -> CertificateParams {
    change(&mut params);
    params
}

fn chain<I: IntoIterator<Item: AsRef<[u8]>>>(certificates: I) -> Vec<Value> {
    certificates.into_iter().map(|der| STANDARD.encode(der).into()).collect()
}

fn claims() -> Value {
    let now = now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    json!({
        "aud": [API], "nbf": now, "iat": now, "exp": now + 365 * DAY,
        "sub": "5f1f1f1f1f1f1f1f1f1f1f1f", "scope": ["read:item", "write:item"],
    })
}

fn tarkov() -> Issuer {
    let profile = Profile::default().client_claims(["sub"]).types(["access"]);
    Issuer::unnamed("tarkov").profile(profile)
}

fn build(
    clock: &ManualClock,
    issuers: impl IntoIterator<Item = Issuer>,
) -> Result<ResourceServer, ConfigError> {
    let builder = ResourceServer::builder(API).clock(clock.clone());
    issuers.into_iter().fold(builder, |builder, issuer| builder.issuer(issuer)).build()
}

fn sign(key: &KeyPair, alg: &str, message: &[u8]) -> Vec<u8> {
    let (random, pkcs8) = (SystemRandom::new(), key.serialize_der());
    let ecdsa = |algorithm| {
        let key = aws::EcdsaKeyPair::from_pkcs8(algorithm, &pkcs8).unwrap();
        key.sign(&random, message).unwrap().as_ref().to_vec()
    };
    let rsa = |padding: &'static dyn aws::RsaEncoding| {
        let key = aws::RsaKeyPair::from_pkcs8(&pkcs8).unwrap();
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(padding, &random, message, &mut signature).unwrap();
        signature
    };
    match alg {
        "ES256" => ecdsa(&aws::ECDSA_P256_SHA256_FIXED_SIGNING),
        "ES384" => ecdsa(&aws::ECDSA_P384_SHA384_FIXED_SIGNING),
        "ES512" => ecdsa(&aws::ECDSA_P521_SHA512_FIXED_SIGNING),
        "RS256" => rsa(&aws::RSA_PKCS1_SHA256),
        "RS512" => rsa(&aws::RSA_PKCS1_SHA512),
        "PS384" => rsa(&aws::RSA_PSS_SHA384),
        _ => key.sign(message).unwrap(),
    }
}

/// What is said of the token, and, if it is its chain, why not.
fn verify(api: &ResourceServer, token: &str) -> (Result<Token, TokenError>, String) {
    let mut answer = None;
    let log = captured(async || answer = Some(api.verify(token).await));
    assert!(!log.contains(token.split('.').next().unwrap()), "{log}");
    let answer = answer.unwrap().map_err(|why| why.token_error().unwrap_or_else(|| panic!("{why:?}")));
    let chain = log.lines().find(|line| line.contains("did not accept a certificate chain"));
    let reason = chain.and_then(|line| line.split("reason=\"").nth(1)?.split('"').next());
    (answer, reason.unwrap_or_default().to_owned())
}

#[track_caller]
fn accepts(name: &str, api: &ResourceServer, token: &str) -> Token {
    let (answer, reason) = verify(api, token);
    answer.unwrap_or_else(|error| panic!("{name}: {error:?}: {reason}"))
}

/// That it is our fault, whatever the token is.
#[track_caller]
fn cannot_tell(name: &str, api: &ResourceServer, token: &str) {
    let why = crate::support::block_on(api.verify(token)).map(|_| ()).expect_err(name);
    assert_eq!((why.token_error(), why.status().as_u16()), (None, 503), "{name}: {why:?}");
}

#[track_caller]
fn refuses(name: &str, api: &ResourceServer, token: &str) -> TokenError {
    verify(api, token).0.err().unwrap_or_else(|| panic!("{name}: accepted"))
}

/// That the chain is at fault, and for this reason.
#[track_caller]
fn refuses_chain(name: &str, api: &ResourceServer, token: &str, expected: &str) {
    let (answer, reason) = verify(api, token);
    assert_eq!(answer.err(), Some(TokenError::Certificate), "{name}");
    assert_eq!(reason, expected, "{name}");
}

#[test]
fn a_token_of_tarkov_database() {
    let pki = Pki::new();
    let api = pki.api();
    let token = accepts("Tarkov Database", &api, &pki.token());
    assert_eq!(token.client_id(), Some("5f1f1f1f1f1f1f1f1f1f1f1f"));
    assert_eq!(token.scopes().to_string(), "read:item write:item");
    let named = Issuer::new(ISSUER).keys(Keys::x5c(pki.root.pem())).types(["access"]);
    let named = build(&pki.clock, [named]).unwrap();
    let mut claims = claims();
    assert_eq!(refuses("no iss", &named, &pki.token()), TokenError::Issuer);
    claims["iss"] = ISSUER.into();
    let header = json!({"alg": "EdDSA", "typ": "access", "x5c": pki.chain()});
    accepts("named", &named, &pki.leaf.sign(&header, &claims));
}

/// Signed answers about opaque tokens (RFC 9701) bring their keys along too.
#[tokio::test]
async fn a_signed_answer_with_its_chain() {
    let (pki, other) = (Pki::new(), Pki::new());
    let iat = pki.clock.now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims =
        json!({"iss": ISSUER, "aud": "us", "iat": iat, "token_introspection": {"active": true, "aud": API}});
    let answer = |pki: &Pki, chain: &[Value]| {
        let header = json!({"alg": "EdDSA", "typ": "token-introspection+jwt", "x5c": chain});
        pki.leaf.sign(&header, &claims)
    };
    for (answer, is_good) in [
        (answer(&pki, &pki.chain()), true),
        (answer(&pki, &pki.chain()[..1]), false),
        (answer(&other, &other.chain()), false),
        (answer(&other, &pki.chain()), false),
    ] {
        let introspection = Introspection::at(format!("{ISSUER}/introspect")).basic("us", "a-secret-of-ours");
        let issuer =
            Issuer::new(ISSUER).keys(Keys::x5c(pki.root.pem())).introspection(introspection.signed());
        let api = build(&pki.clock, [issuer.fetch(SignedAnswers(move || answer.clone()))]).unwrap();
        let verified = api.verify("an-opaque-token").await;
        assert_eq!(verified.is_ok(), is_good);
        assert!(is_good || verified.unwrap_err().kind() == RejectionKind::Unavailable);
    }
}

#[test]
fn other_members_of_the_header_decide_nothing() {
    let pki = Pki::new();
    let api = pki.api();
    let stranger = Signer::below(&Pki::new().middle, ed25519(), SAME);
    for (name, value) in [
        ("x5t#S256", json!(STANDARD.encode(digest(&SHA256, &pki.leaf.der)))),
        ("x5t#S256", json!(STANDARD.encode(digest(&SHA256, &pki.leaf.key.subject_public_key_info())))),
        ("x5t#S256", json!(URL_SAFE_NO_PAD.encode(digest(&SHA256, &stranger.der)))),
        ("x5t#S256", json!("")),
        ("x5t#S256", json!(7)),
        ("x5t#S256", Value::Null),
        ("x5t", json!("AAAA")),
        ("kid", json!("anything")),
        ("x5u", json!("https://attacker.example/chain")),
        ("jku", json!("https://attacker.example/jwks")),
        ("jwk", json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"})),
    ] {
        let token = pki.leaf.token_of("EdDSA", json!({"x5c": pki.chain(), name: value}));
        accepts(name, &api, &token);
        // A key that only they name, or nobody.
        let forged = stranger.token_of("EdDSA", json!({"x5c": pki.chain(), name: value}));
        assert_eq!(refuses(name, &api, &forged), TokenError::Signature, "{name}");
    }
}

#[test]
fn chains_of_other_shapes() {
    let pki = Pki::new();
    let api = pki.api();
    accepts("with the root", &api, &{
        pki.leaf.token(chain([&*pki.leaf.der, pki.middle.der(), pki.root.der()]))
    });
    let direct = Signer::below(&pki.root, ed25519(), SAME);
    accepts("right below the root", &api, &direct.token(chain([&direct.der])));
    accepts("escaped slashes", &api, &{
        let x5c = serde_json::to_string(&pki.chain()).unwrap().replace('/', r"\/");
        assert!(x5c.contains(r"\/"));
        let input = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"EdDSA","typ":"access","x5c":{x5c}}}"#)),
            URL_SAFE_NO_PAD.encode(claims().to_string())
        );
        let signature = pki.leaf.key.sign(input.as_bytes()).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    });
    let second = Authority::signed_by(authority("second"), ed25519(), &pki.middle).unwrap();
    let third = Authority::signed_by(authority("third"), ed25519(), &second).unwrap();
    let deep = Signer::below(&second, ed25519(), SAME);
    let ders = [&*deep.der, second.der(), pki.middle.der(), pki.root.der()];
    assert_eq!(ders.len(), MAX_CHAIN_LENGTH);
    accepts("the longest", &api, &deep.token(chain(ders)));
    let deeper = Signer::below(&third, ed25519(), SAME);
    let ders = [&*deeper.der, third.der(), second.der(), pki.middle.der()];
    accepts("the longest, without the root", &api, &deeper.token(chain(ders)));
    let ders = [&*deeper.der, third.der(), second.der(), pki.middle.der(), pki.root.der()];
    refuses_chain("longer", &api, &deeper.token(chain(ders)), "");
    // The authority below the root is trusted, and the root is not.
    let api = pki.serve(&pki.middle.pem());
    accepts("an authority below as the root", &api, &pki.leaf.token(chain([&pki.leaf.der])));
    refuses_chain(
        "right below a root that is not pinned",
        &api,
        &direct.token(chain([&direct.der])),
        NO_ROOT,
    );
}

#[test]
fn every_algorithm_of_a_signer_and_of_an_authority() {
    for (rcgen, alg) in [
        (&rcgen::PKCS_ED25519, "EdDSA"),
        (&rcgen::PKCS_ECDSA_P256_SHA256, "ES256"),
        (&rcgen::PKCS_ECDSA_P384_SHA384, "ES384"),
        (&rcgen::PKCS_ECDSA_P521_SHA512, "ES512"),
        (&rcgen::PKCS_RSA_SHA256, "RS256"),
        (&rcgen::PKCS_RSA_SHA384, "PS384"),
        (&rcgen::PKCS_RSA_SHA512, "RS512"),
    ] {
        let clock = ManualClock::at(now());
        let root = Authority::self_signed(authority("root"), KeyPair::generate_for(rcgen).unwrap()).unwrap();
        let leaf = Signer::below(&root, KeyPair::generate_for(rcgen).unwrap(), SAME);
        let api = build(&clock, [tarkov().keys(Keys::x5c(root.pem()))]).unwrap();
        let x5c = json!({"x5c": chain([&leaf.der])});
        // ECDSA: leading zeros of r and s differ each time.
        for _ in 0..if alg.starts_with("ES") { 20 } else { 1 } {
            accepts(alg, &api, &leaf.token_of(alg, x5c.clone()));
            let other = Signer::below(&root, KeyPair::generate_for(rcgen).unwrap(), SAME);
            accepts(alg, &api, &other.token_of(alg, json!({"x5c": chain([&other.der])})));
        }
        // The last bytes of a certificate are its signature.
        let mut forged = leaf.der.clone();
        *forged.last_mut().unwrap() ^= 1;
        let token = leaf.token_of(alg, json!({"x5c": chain([&forged])}));
        refuses_chain(alg, &api, &token, "a signature does not hold");
        // The key of a certificate serves its own family.
        let token = leaf.token_of(alg, x5c.clone());
        let [_, payload, signature] = *token.split('.').collect::<Vec<_>>() else { panic!() };
        let is_rsa = |name: &str| name.starts_with(['R', 'P']);
        for other in ["EdDSA", "ES256", "ES384", "ES512", "RS256"].into_iter().filter(|other| *other != alg) {
            let header = json!({"alg": other, "typ": "access", "x5c": x5c["x5c"]});
            let renamed = format!("{}.{payload}.{signature}", URL_SAFE_NO_PAD.encode(header.to_string()));
            let both_rsa = is_rsa(alg) && is_rsa(other);
            let expected = if both_rsa { TokenError::Signature } else { TokenError::UnknownKey };
            assert_eq!(refuses(other, &api, &renamed), expected, "{other} with a key of {alg}");
        }
        let only = tarkov().keys(Keys::x5c(root.pem())).algorithms([tower_bearer::Algorithm::PS512]);
        let only = build(&clock, [only]).unwrap();
        assert_eq!(refuses(alg, &only, &leaf.token_of(alg, x5c)), TokenError::Algorithm, "{alg}");
    }
}

const NO_ROOT: &str = "it does not lead to a root";
const MALFORMED: &str = "a certificate is malformed";
const NO_SIGNER: &str = "its keyUsage does not have digitalSignature";
const PURPOSE: &str = "its extKeyUsage is for something else";
const CRITICAL: &str = "it has a critical extension that is not understood";

#[test]
fn rfc5280_6_what_is_wrong_with_a_certificate() {
    let unknown_extension: Change<'_> = &|params| {
        let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
        extension.set_criticality(true);
        params.custom_extensions.push(extension);
    };
    let expired: Change<'_> = &|params| params.not_after = (now() - seconds(1)).into();
    let early: Change<'_> = &|params| params.not_before = (now() + seconds(1)).into();
    let tls: Change<'_> = &|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let no_usage: Change<'_> = &|params| params.key_usages.clear();
    let other_usage: Change<'_> =
        &|params| params.key_usages = vec![KeyUsagePurpose::KeyAgreement, KeyUsagePurpose::ContentCommitment];
    let no_ca: Change<'_> = &|params| params.is_ca = IsCa::NoCa;
    let explicit_no_ca: Change<'_> = &|params| params.is_ca = IsCa::ExplicitNoCa;
    let ca: Change<'_> = &|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let no_cert_sign: Change<'_> = &|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let none_below: Change<'_> = &|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let names: Change<'_> = &|params| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("good.example".to_owned())],
            excluded_subtrees: Vec::new(),
        });
    };
    let bad_name: Change<'_> = &|params| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("bad.example".try_into().unwrap())];
    };
    let not_authority = "one that is no authority has signed a certificate";
    for (name, root, middle, leaf, reason) in [
        ("expired leaf", SAME, SAME, expired, "expired"),
        ("expired authority", SAME, expired, SAME, "expired"),
        ("early leaf", SAME, SAME, early, "not valid yet"),
        ("early authority", SAME, early, SAME, "not valid yet"),
        ("an authority as leaf", SAME, SAME, ca, "the signer's certificate is that of an authority"),
        ("no keyUsage", SAME, SAME, no_usage, NO_SIGNER),
        ("other keyUsage", SAME, SAME, other_usage, NO_SIGNER),
        ("authority without CA", SAME, no_ca, SAME, not_authority),
        ("authority with CA:FALSE", SAME, explicit_no_ca, SAME, not_authority),
        ("authority without keyCertSign", SAME, no_cert_sign, SAME, "an authority may not sign certificates"),
        ("root with a path of none", none_below, SAME, SAME, NO_ROOT),
        ("leaf for TLS", SAME, SAME, tls, PURPOSE),
        ("authority for TLS", SAME, tls, SAME, PURPOSE),
        ("unknown critical extension", SAME, SAME, unknown_extension, CRITICAL),
        ("unknown critical extension of the authority", SAME, unknown_extension, SAME, CRITICAL),
        ("names of the root", names, SAME, bad_name, "a name is outside of what an authority may certify"),
        (
            "names of the authority",
            SAME,
            names,
            bad_name,
            "a name is outside of what an authority may certify",
        ),
    ] {
        let good = Pki::new();
        accepts("unharmed", &good.api(), &good.token());
        let pki = Pki::with(root, middle, leaf);
        refuses_chain(name, &pki.api(), &pki.token(), reason);
    }
    let good_name: Change<'_> = &|params| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("good.example".try_into().unwrap())];
    };
    let purpose = |oid: &'static [u64]| {
        move |params: &mut CertificateParams| {
            params.extended_key_usages =
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::Other(oid.to_vec())];
        }
    };
    let any: Change<'_> = &|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any];
    let extension: Change<'_> = &|params| {
        let extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
        params.custom_extensions.push(extension);
    };
    for (name, root, middle, leaf) in [
        ("a good name", SAME, names, good_name),
        ("no name", names, names, SAME),
        ("a path of one", SAME, none_below, SAME),
        ("authority without keyUsage", SAME, no_usage, SAME),
        ("for access tokens", SAME, SAME, &purpose(&[1, 3, 6, 1, 5, 5, 7, 3, 39]) as Change<'_>),
        ("for JWT", SAME, &purpose(&[1, 3, 6, 1, 5, 5, 7, 3, 37]) as Change<'_>, SAME),
        ("for anything", SAME, SAME, any),
        ("an extension that is not critical", SAME, extension, extension),
    ] {
        let pki = Pki::with(root, middle, leaf);
        accepts(name, &pki.api(), &pki.token());
    }
}

#[test]
fn rfc5280_6_1_what_is_wrong_with_a_path() {
    let (pki, other) = (Pki::new(), Pki::new());
    let api = pki.api();
    let leaf = &*pki.leaf.der;
    let (middle, root): (&[u8], &[u8]) = (pki.middle.der(), pki.root.der());
    accepts("unharmed", &api, &pki.token());
    let other_middle = Authority::signed_by(authority("other"), ed25519(), &pki.root).unwrap();
    for (name, certificates, reason) in [
        ("no authority", vec![leaf], NO_ROOT),
        ("wrong order", vec![middle, leaf], NO_ROOT),
        ("the root in front", vec![root, leaf, middle], NO_ROOT),
        ("the root between", vec![leaf, root, middle], NO_ROOT),
        ("one too many", vec![leaf, middle, &**other_middle.der()], NO_ROOT),
        ("one too many in front", vec![leaf, &**other_middle.der(), middle], NO_ROOT),
        ("twice the same", vec![leaf, middle, middle], NO_ROOT),
        ("the leaf twice", vec![leaf, leaf, middle], NO_ROOT),
        ("the root alone", vec![root], "the signer's certificate is that of an authority"),
        ("another authority of this name", vec![leaf, other.middle.der()], "a signature does not hold"),
    ] {
        refuses_chain(name, &api, &pki.leaf.token(chain(certificates)), reason);
    }
    refuses_chain("another root of this name", &api, &other.token(), "a signature does not hold");
    let with_its_root = chain([&*other.leaf.der, other.middle.der(), other.root.der()]);
    refuses_chain("brings its own root", &api, &other.leaf.token(with_its_root), NO_ROOT);
    accepts("the root behind", &api, &pki.leaf.token(chain([leaf, middle, root])));
    refuses_chain("the root twice", &api, &pki.leaf.token(chain([leaf, middle, root, root])), NO_ROOT);
    let of_two = pki.serve(&format!("{}{}", pki.root.pem(), other.root.pem()));
    let named = Pki::with(&|p| p.distinguished_name.push(DnType::CommonName, "named"), SAME, SAME);
    let of_names = pki.serve(&format!("{}{}", pki.root.pem(), named.root.pem()));
    for (name, api, another, reason) in [
        ("the root of another path", &of_names, &named, NO_ROOT),
        ("another root of this name", &of_two, &other, "a signature does not hold"),
    ] {
        accepts(name, api, &pki.leaf.token(chain([leaf, middle, root])));
        accepts(
            name,
            api,
            &another.leaf.token(chain([&*another.leaf.der, another.middle.der(), another.root.der()])),
        );
        let mixed = pki.leaf.token(chain([leaf, middle, another.root.der()]));
        refuses_chain(name, api, &mixed, reason);
    }
    let alias = authority("alias").self_signed(pki.root.key()).unwrap();
    let of_aliases = pki.serve(&format!("{}{}", pki.root.pem(), alias.pem()));
    accepts("a key of two roots", &of_aliases, &pki.leaf.token(chain([leaf, middle, root])));
    let mixed = pki.leaf.token(chain([leaf, middle, alias.der()]));
    refuses_chain("a root of another name", &of_aliases, &mixed, NO_ROOT);
    let key = ed25519();
    let der = signer().self_signed(&key).unwrap().der().to_vec();
    let alone = Signer { der, key };
    refuses_chain("self-signed", &api, &alone.token(chain([&alone.der])), NO_ROOT);
    refuses_chain("self-signed + authority", &api, &alone.token(chain([&*alone.der, middle])), NO_ROOT);
    // Its own certificate below a good leaf, which is no authority.
    let issuer = rcgen::Issuer::new(
        signer(),
        KeyPair::from_der_and_sign_algo(
            &pki.leaf.key.serialize_der().as_slice().try_into().unwrap(),
            &rcgen::PKCS_ED25519,
        )
        .unwrap(),
    );
    let key = ed25519();
    let mut params = signer();
    params.distinguished_name.push(DnType::CommonName, "forged");
    let forged = Signer { der: params.signed_by(&key, &issuer).unwrap().der().to_vec(), key };
    let token = forged.token(chain([&*forged.der, leaf, middle]));
    refuses_chain("below a signer", &api, &token, "one that is no authority has signed a certificate");
    // A path that is longer than an authority allows.
    let constrained =
        Pki::with(SAME, &|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)), SAME);
    let api = constrained.api();
    accepts("short enough", &api, &constrained.token());
    let below = Authority::signed_by(authority("below"), ed25519(), &constrained.middle).unwrap();
    let leaf = Signer::below(&below, ed25519(), SAME);
    let token = leaf.token(chain([&*leaf.der, below.der(), constrained.middle.der()]));
    refuses_chain("too long", &api, &token, "it is longer than an authority allows");
}

#[test]
fn rfc7515_4_1_6_x5c_is_an_array_of_base64() {
    let pki = Pki::new();
    let api = pki.api();
    accepts("unharmed", &api, &pki.token());
    assert_eq!(refuses("none", &api, &pki.leaf.token_of("EdDSA", json!({}))), TokenError::Certificate);
    let (leaf, middle) = (&pki.leaf.der, STANDARD.encode(pki.middle.der()));
    // Of a length that needs padding, so that leaving it out gives another text.
    let longer = |by: usize| {
        let change =
            |p: &mut CertificateParams| p.distinguished_name.push(DnType::OrganizationName, "x".repeat(by));
        Signer::below(&pki.middle, ed25519(), &change)
    };
    let padded = (1..10).map(longer).find(|signer| signer.der.len() % 3 != 0).unwrap();
    let text = STANDARD.encode(&padded.der);
    accepts("padded", &api, &padded.token(json!([text, middle])));
    let no_pad = STANDARD_NO_PAD.encode(&padded.der);
    let not_base64 = "not base64";
    refuses_chain("no padding", &api, &padded.token(json!([no_pad, middle])), not_base64);
    for (name, x5c, reason) in [
        ("null", Value::Null, ""),
        ("empty", json!([]), ""),
        ("a string", json!(STANDARD.encode(leaf)), ""),
        ("an object", json!({"0": STANDARD.encode(leaf)}), ""),
        ("numbers", json!([1, 2]), ""),
        ("null in it", json!([STANDARD.encode(leaf), Value::Null]), ""),
        ("nested", json!([[STANDARD.encode(leaf), middle]]), ""),
        ("an empty text", json!(["", middle]), MALFORMED),
        ("an empty text behind", json!([STANDARD.encode(leaf), middle, ""]), MALFORMED),
        ("base64url", json!([URL_SAFE_NO_PAD.encode([&[0xff; 3], &**leaf].concat()), middle]), not_base64),
        ("a line break", json!([format!("{}\n", STANDARD.encode(leaf)), middle]), not_base64),
        ("PEM", json!([pki.middle.pem(), middle]), not_base64),
        ("two in one", json!([format!("{}{middle}", STANDARD.encode(leaf))]), not_base64),
        ("trailing byte", json!([STANDARD.encode([leaf, &[0_u8][..]].concat()), middle]), MALFORMED),
        ("cut short", json!([STANDARD.encode(&leaf[..leaf.len() - 1]), middle]), MALFORMED),
        ("not a certificate", json!([STANDARD.encode("hello"), middle]), MALFORMED),
        ("a key", json!([STANDARD.encode(pki.leaf.key.subject_public_key_info())]), MALFORMED),
    ] {
        // `not base64` for two in one depends on padding: without any, they are one text of too many bytes.
        let reason = if name == "two in one" && leaf.len() % 3 == 0 { MALFORMED } else { reason };
        refuses_chain(name, &api, &pki.leaf.token(x5c), reason);
    }
    let comma = format!("{},{middle}", STANDARD.encode(leaf));
    refuses_chain("a known chain in one text", &api, &pki.leaf.token(json!([comma])), not_base64);
}

#[test]
fn a_key_that_would_not_be_imported_is_none() {
    struct Public(Vec<u8>, &'static rcgen::SignatureAlgorithm);
    impl PublicKeyData for Public {
        fn der_bytes(&self) -> &[u8] {
            &self.0
        }
        fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
            self.1
        }
    }
    /// An RSAPublicKey with an odd modulus of so many bytes.
    fn rsa(bytes: u16, e: &[u8]) -> Public {
        let integer = |number: &[u8]| {
            let length = u16::try_from(number.len()).unwrap().to_be_bytes();
            [&[2, 0x82], &length[..], number].concat()
        };
        let n = [&[0, 0xb5][..], &vec![0xb5; usize::from(bytes) - 1]].concat();
        let e = [&[2, u8::try_from(e.len()).unwrap()], e].concat();
        let members = [integer(&n), e].concat();
        let length = u16::try_from(members.len()).unwrap().to_be_bytes();
        Public([&[0x30, 0x82], &length[..], &members].concat(), &rcgen::PKCS_RSA_SHA256)
    }
    let pki = Pki::new();
    let api = pki.api();
    let anybody = Signer { der: Vec::new(), key: KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap() };
    let verdict = |public: &Public| {
        let certificate = signer().signed_by(public, &pki.middle).unwrap();
        let x5c = chain([certificate.der(), pki.middle.der()]);
        verify(&api, &anybody.token_of("RS256", json!({"x5c": x5c})))
    };
    // Nobody has its private key: the certificate is good, and the signature cannot be.
    assert_eq!(verdict(&rsa(256, &[1, 0, 1])).0.err(), Some(TokenError::Signature));
    for (name, public, expected) in [
        ("1024 bits", rsa(128, &[1, 0, 1]), "the RSA modulus does not have 2048 to 8192 bits"),
        ("2040 bits", rsa(255, &[1, 0, 1]), "the RSA modulus does not have 2048 to 8192 bits"),
        ("8200 bits", rsa(1025, &[1, 0, 1]), "the RSA modulus does not have 2048 to 8192 bits"),
        ("e = 1", rsa(256, &[1]), "the RSA exponent is not an odd number from 3 to 2^33"),
        ("no RSA key", Public(vec![5, 0], &rcgen::PKCS_RSA_SHA256), "not an RSAPublicKey (RFC 8017 A.1.1)"),
        ("small order", Public(vec![0; 32], &rcgen::PKCS_ED25519), "the Ed25519 point has a small order"),
        ("short", Public(vec![9; 31], &rcgen::PKCS_ED25519), "an Ed25519 key does not have 32 bytes"),
        (
            "another curve",
            Public([vec![4], vec![1; 96]].concat(), &rcgen::PKCS_ECDSA_P256_SHA256),
            "the point is on another curve",
        ),
        (
            "no point",
            Public([vec![4], vec![1; 64]].concat(), &rcgen::PKCS_ECDSA_P256_SHA256),
            "not a valid public key",
        ),
        (
            "compressed",
            Public([vec![2], vec![1; 32]].concat(), &rcgen::PKCS_ECDSA_P256_SHA256),
            "not an uncompressed point",
        ),
        (
            "an unknown kind",
            Public(vec![1; 1312], &rcgen::PKCS_ML_DSA_44),
            "the key is not RSA, EC or Ed25519",
        ),
    ] {
        let (answer, reason) = verdict(&public);
        assert_eq!((answer.err(), &*reason), (Some(TokenError::Certificate), expected), "{name}");
    }
}

#[test]
fn another_signature_than_the_leafs() {
    let pki = Pki::new();
    let api = pki.api();
    accepts("unharmed", &api, &pki.token());
    let sibling = Signer::below(&pki.middle, ed25519(), SAME);
    accepts("its sibling", &api, &sibling.token(chain([&*sibling.der, pki.middle.der()])));
    for chain_is_known in [true, false] {
        let api = if chain_is_known { api.clone() } else { pki.api() };
        assert_eq!(refuses("under its name", &api, &sibling.token(pki.chain())), TokenError::Signature);
        let middle =
            Signer { der: Vec::new(), key: KeyPair::from_pem(&pki.middle.key().serialize_pem()).unwrap() };
        assert_eq!(refuses("the authority's", &api, &middle.token(pki.chain())), TokenError::Signature);
    }
    // Times, audience and type come first: a chain costs more than they do.
    let mut wrong = claims();
    wrong["aud"] = "https://other.example.com".into();
    let header = json!({"alg": "EdDSA", "typ": "access", "x5c": ["junk"]});
    assert_eq!(refuses("audience", &api, &pki.leaf.sign(&header, &wrong)), TokenError::Audience);
    assert_eq!(refuses("chain", &api, &pki.leaf.sign(&header, &claims())), TokenError::Certificate);
}

/// A server that says of each token whether it was known.
fn with_hits(pki: &Pki) -> (ResourceServer, impl Fn() -> usize) {
    let hits = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = hits.clone();
    let builder = ResourceServer::builder(API).clock(pki.clock.clone()).observer(move |event: &Event<'_>| {
        if let Event::Accepted { cached: true, .. } = event {
            counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    });
    let api = builder.issuer(tarkov().keys(Keys::x5c(pki.root.pem()))).build().unwrap();
    (api, move || hits.load(std::sync::atomic::Ordering::Relaxed))
}

#[test]
fn nothing_that_is_remembered_outlives_a_certificate() {
    let ends = now() + seconds(120);
    let short: Change<'_> = &|params| params.not_after = ends.into();
    for (name, pki) in [
        ("leaf", Pki::with(SAME, SAME, short)),
        ("authority", Pki::with(SAME, short, SAME)),
        ("root", Pki::with(short, SAME, SAME)),
    ] {
        let over = |what: &str, api: &ResourceServer, token: &str| match name {
            "root" => cannot_tell(what, api, token),
            _ => assert_eq!(refuses(what, api, token), TokenError::Certificate, "{name}"),
        };
        let ((api, hits), token) = (with_hits(&pki), pki.token());
        accepts(name, &api, &token);
        // RFC 5280 §4.1.2.5: through `notAfter`, which is a second long.
        pki.clock.set_time_of_day(ends + Duration::from_millis(999));
        accepts(name, &api, &token);
        assert_eq!(hits(), 1, "{name}: the token was known");
        let another = pki.leaf.token_of("EdDSA", json!({"x5c": pki.chain(), "n": 1}));
        accepts(name, &api, &another);
        pki.clock.set_time_of_day(ends + seconds(1));
        over("the token is known", &api, &token);
        let new = pki.leaf.token_of("EdDSA", json!({"x5c": pki.chain(), "n": 2}));
        over("the chain is known", &api, &new);
        assert_eq!(hits(), 1);
        // A clock that was wrong and is right again.
        pki.clock.set_time_of_day(ends);
        accepts(name, &api, &token);
        accepts(name, &api, &new);
    }
}

#[test]
fn a_certificate_is_valid_from_its_first_moment_without_leeway() {
    let begins = now() + seconds(120);
    let late: Change<'_> = &|params| params.not_before = begins.into();
    for (name, pki) in [
        ("leaf", Pki::with(SAME, SAME, late)),
        ("authority", Pki::with(SAME, late, SAME)),
        ("root", Pki::with(late, SAME, SAME)),
    ] {
        let over = |what: &str, api: &ResourceServer, token: &str| match name {
            "root" => cannot_tell(what, api, token),
            _ => assert_eq!(refuses(what, api, token), TokenError::Certificate, "{name}"),
        };
        let (api, token) = (pki.api(), pki.token());
        pki.clock.set_time_of_day(begins - Duration::from_micros(1));
        over("{name}", &api, &token);
        pki.clock.set_time_of_day(begins);
        accepts(name, &api, &token);
        pki.clock.set_time_of_day(begins - Duration::from_micros(1));
        over("the token is known", &api, &token);
        let new = pki.leaf.token_of("EdDSA", json!({"x5c": pki.chain(), "n": 1}));
        over("the chain is known", &api, &new);
    }
}

#[test]
fn a_blocked_key_verifies_nothing_whatever_certifies_it() {
    let pki = Pki::new();
    let ((api, hits), token) = (with_hits(&pki), pki.token());
    let sibling = Signer::below(&pki.middle, ed25519(), SAME);
    let of = |signer: &Signer| signer.token(chain([&*signer.der, pki.middle.der()]));
    accepts("before", &api, &token);
    accepts("known", &api, &token);
    assert_eq!(hits(), 1);
    assert!(api.block_key("tarkov", &pki.leaf.thumbprint()).unwrap());
    assert_eq!(refuses("known", &api, &token), TokenError::UnknownKey);
    let new = pki.leaf.token_of("EdDSA", json!({"x5c": pki.chain(), "n": 1}));
    assert_eq!(refuses("the chain is known", &api, &new), TokenError::UnknownKey);
    let renewed = Signer::below(&pki.middle, ed25519(), SAME);
    accepts("another key", &api, &of(&renewed));
    let certificate = signer().signed_by(&pki.leaf.key, &pki.root).unwrap();
    let renewed = pki.leaf.token(chain([certificate.der()]));
    assert_eq!(refuses("the same key, certified anew", &api, &renewed), TokenError::UnknownKey);
    // In advance.
    assert!(!api.block_key("tarkov", &sibling.thumbprint()).unwrap());
    assert_eq!(refuses("blocked in advance", &api, &of(&sibling)), TokenError::UnknownKey);
    accepts("in another server", &pki.api(), &of(&sibling));
}

#[test]
fn the_memory_of_chains_is_bounded_and_what_left_it_can_still_be_blocked() {
    let pki = Pki::new();
    let (api, hits) = with_hits(&pki);
    let first = Signer::below(&pki.middle, ed25519(), SAME);
    let of = |signer: &Signer| signer.token(chain([&*signer.der, pki.middle.der()]));
    let token = of(&first);
    accepts("first", &api, &token);
    // Chains that nobody has signed a token with push nobody out.
    for _ in 0..MAX_KNOWN_CHAINS {
        let other = Signer::below(&pki.middle, ed25519(), SAME);
        let forged = pki.leaf.token(chain([&*other.der, pki.middle.der()]));
        assert_eq!(refuses("forged", &api, &forged), TokenError::Signature);
    }
    accepts("first", &api, &token);
    assert_eq!(hits(), 1);
    for _ in 0..MAX_KNOWN_CHAINS {
        accepts("one of many", &api, &of(&Signer::below(&pki.middle, ed25519(), SAME)));
    }
    // Its verdict went with its chain: it could not have been blocked any more.
    accepts("pushed out", &api, &token);
    assert_eq!(hits(), 1, "verified anew");
    assert!(api.block_key("tarkov", &first.thumbprint()).unwrap());
    assert_eq!(refuses("blocked", &api, &token), TokenError::UnknownKey);
}

/// What is remembered can be told by this: blocking finds it.
#[test]
fn a_chain_in_use_stays_whenever_it_ends() {
    let pki = Pki::new();
    let api = pki.api();
    let below = |change: Change<'_>| Signer::below(&pki.middle, ed25519(), change);
    let of = |signer: &Signer, n: usize| {
        signer.token_of("EdDSA", json!({"x5c": chain([&*signer.der, pki.middle.der()]), "n": n}))
    };
    let long: Vec<_> = (0..MAX_KNOWN_CHAINS).map(|_| below(SAME)).collect();
    for signer in &long {
        accepts("long-lived", &api, &of(signer, 0));
    }
    let short = [(); 2].map(|()| below(&|p| p.not_after = (now() + seconds(DAY)).into()));
    for n in 0..4 {
        for signer in &short {
            accepts("short-lived", &api, &of(signer, n));
        }
    }
    // As many again as there is room for: those that were used have another turn.
    for _ in 0..MAX_KNOWN_CHAINS {
        accepts("once", &api, &of(&below(SAME), 0));
    }
    for signer in &short {
        assert!(api.block_key("tarkov", &signer.thumbprint()).unwrap(), "it is known");
    }
    assert!(!api.block_key("tarkov", &long[0].thumbprint()).unwrap(), "it is not known any more");
}

#[test]
fn rfc7515_4_1_8_a_certificate_is_blocked_with_its_key() {
    let print = |der: &[u8]| URL_SAFE_NO_PAD.encode(digest(&SHA256, der));
    for in_advance in [false, true] {
        let pki = Pki::new();
        let renewed = |name| {
            let certificate = changed(signer(), &|p| p.distinguished_name.push(DnType::CommonName, name))
                .signed_by(&pki.leaf.key, &pki.root)
                .unwrap();
            pki.leaf.token(chain([certificate.der()]))
        };
        let api = pki.api();
        let token = pki.leaf.token_of("EdDSA", json!({"x5c": pki.chain(), "kid": "k"}));
        let (first, second) = (renewed("first"), renewed("second"));
        accepts("renewed", &api, &first);
        // It has no name but these: what the token calls it is not known, nor is the certificate of an authority its.
        for name in ["k", &*print(pki.middle.der()), "tarkov", ""] {
            assert!(!api.block_key("tarkov", name).unwrap(), "{name}");
        }
        if !in_advance {
            accepts("unharmed", &api, &token);
        }
        assert_eq!(api.block_key("tarkov", &print(&pki.leaf.der)).unwrap(), !in_advance);
        assert_eq!(refuses("blocked", &api, &token), TokenError::UnknownKey);
        assert_eq!(refuses("its key elsewhere, known", &api, &first), TokenError::UnknownKey);
        assert_eq!(refuses("its key elsewhere", &api, &second), TokenError::UnknownKey);
        let sibling = Signer::below(&pki.middle, ed25519(), SAME);
        accepts("another", &api, &sibling.token(chain([&*sibling.der, pki.middle.der()])));
    }
}

#[test]
fn without_a_valid_root_it_is_not_ready() {
    let ends = now() + seconds(120);
    let pki = Pki::with(&|p| p.not_after = ends.into(), SAME, SAME);
    let later = Pki::with(&|p| p.not_before = (ends + seconds(60)).into(), SAME, SAME);
    let api = pki.serve(&format!("{}{}", pki.root.pem(), later.root.pem()));
    let state = || {
        let health = api.health();
        let issuer = health.issuers().next().unwrap();
        (issuer.state(), issuer.keys(), health.is_ready(), api.is_ready())
    };
    accepts("before", &api, &pki.token());
    assert_eq!(state(), (KeyState::Fixed, 1, true, true));
    pki.clock.set_time_of_day(ends + seconds(1));
    assert_eq!(state(), (KeyState::Expired, 0, false, false));
    cannot_tell("between", &api, &pki.token());
    pki.clock.set_time_of_day(ends + seconds(60));
    assert_eq!(state(), (KeyState::Fixed, 1, true, true));
    accepts("after", &api, &later.token());
}

#[test]
fn a_root_for_something_else_is_none() {
    let of = |purposes: &[ExtendedKeyUsagePurpose]| {
        let purposes = purposes.to_vec();
        Pki::with(&move |p| p.extended_key_usages.clone_from(&purposes), SAME, SAME)
    };
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, Other, ServerAuth};
    for good in [
        vec![],
        vec![Any],
        vec![ServerAuth, Other(vec![1, 3, 6, 1, 5, 5, 7, 3, 37])],
        vec![Other(vec![1, 3, 6, 1, 5, 5, 7, 3, 39])],
    ] {
        let pki = of(&good);
        accepts("for us", &pki.api(), &pki.token());
    }
    for bad in [vec![ServerAuth], vec![ServerAuth, ClientAuth]] {
        let pki = of(&bad);
        let error = build(&pki.clock, [tarkov().keys(Keys::x5c(pki.root.pem()))]).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::Keys);
        assert!(error.to_string().contains(PURPOSE), "{error}");
    }
}

#[test]
fn unnamed_issuers_of_which_one_has_certified_the_other_are_an_error_at_build() {
    let (pki, other) = (Pki::new(), Pki::new());
    let pair = |one: String, another: String| {
        let issuers = [tarkov().keys(Keys::x5c(one)), tarkov().name("other").keys(Keys::x5c(another))];
        build(&pki.clock, issuers)
    };
    // Of the same name, and another key.
    let both = pair(pki.root.pem(), other.middle.pem()).unwrap();
    assert_eq!(accepts("the first", &both, &pki.token()).issuer_name(), "tarkov");
    let below = other.leaf.token(chain([&other.leaf.der]));
    assert_eq!(accepts("the second", &both, &below).issuer_name(), "other");
    let several = format!("{}{}", other.root.pem(), pki.middle.pem());
    for (one, another) in
        [(pki.root.pem(), pki.middle.pem()), (pki.middle.pem(), pki.root.pem()), (pki.root.pem(), several)]
    {
        let error = pair(one, another).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("cannot be told apart"), "{error}");
    }
    for rcgen in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ECDSA_P521_SHA512,
        &rcgen::PKCS_RSA_SHA512,
    ] {
        let key = || KeyPair::generate_for(rcgen).unwrap();
        let root = Authority::self_signed(authority("root"), key()).unwrap();
        let middle = Authority::signed_by(authority("middle"), key(), &root).unwrap();
        assert!(pair(root.pem(), middle.pem()).is_err());
        assert!(pair(root.pem(), pki.middle.pem()).is_ok());
    }
    // Whom they are from is written in tokens of issuers with names.
    let named = [ISSUER, "https://other.example.com"].map(|iss| Issuer::new(iss).types(["access"]));
    let [one, another] = named;
    let issuers = [one.keys(Keys::x5c(pki.root.pem())), another.keys(Keys::x5c(pki.middle.pem()))];
    assert!(build(&pki.clock, issuers).is_ok());
}

#[test]
fn several_roots() {
    let (old, new) =
        (Pki::new(), Pki::with(&|p| p.distinguished_name.push(DnType::CommonName, "new"), SAME, SAME));
    let stranger = Pki::new();
    let api = old.serve(&format!("The old one:\n{}and the new one\n{}", old.root.pem(), new.root.pem()));
    accepts("old", &api, &old.token());
    accepts("new", &api, &new.token());
    refuses_chain("stranger", &api, &stranger.token(), "a signature does not hold");
    let health = api.health();
    let issuer = health.issuers().next().unwrap();
    assert_eq!((issuer.state(), issuer.keys(), health.is_ready()), (KeyState::Fixed, 2, true));

    // A root that was renewed: the same name and key, another certificate.
    let renew = |days: u64| {
        let mut params = authority("root");
        params.not_after = (now() + seconds(days * DAY)).into();
        params.self_signed(old.root.key()).unwrap()
    };
    // Its issuer may write the new one before we have pinned it.
    let with_root = |root: &[u8]| old.leaf.token(chain([&*old.leaf.der, old.middle.der(), root]));
    accepts("unharmed", &old.serve(&old.root.pem()), &old.token());
    accepts("renewed there", &old.serve(&old.root.pem()), &with_root(renew(30).der()));
    refuses_chain("of another key", &old.serve(&old.root.pem()), &with_root(new.root.der()), NO_ROOT);
    old.clock.advance(seconds(2 * DAY));
    cannot_tell("over", &old.serve(&renew(1).pem()), &old.token());
    let beside = format!("{}{}", renew(1).pem(), new.root.pem());
    refuses_chain("over, beside another", &old.serve(&beside), &old.token(), NO_ROOT);
    accepts("renewed", &old.serve(&format!("{}{}", renew(1).pem(), renew(3).pem())), &old.token());
}

#[test]
fn what_is_no_root_is_an_error_at_build() {
    let pki = Pki::new();
    let good = pki.root.pem();
    let build_with = |pem: &[u8]| build(&pki.clock, [tarkov().keys(Keys::x5c(pem))]);
    assert!(build_with(good.as_bytes()).is_ok());
    let self_signed =
        |change: Change<'_>| changed(authority("root"), change).self_signed(&ed25519()).unwrap().pem();
    let critical = |params: &mut CertificateParams| {
        let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
        extension.set_criticality(true);
        params.custom_extensions.push(extension);
    };
    let leaf = signer().signed_by(&ed25519(), &pki.middle).unwrap().pem();
    for (name, pem, expected) in [
        ("nothing", String::new(), "not certificates in PEM"),
        ("text", "root".to_owned(), "not certificates in PEM"),
        ("cut", good[..good.len() / 2].to_owned(), "not certificates in PEM"),
        ("junk in it", good.replacen("MI", "!!", 1), "not certificates in PEM"),
        (
            "empty",
            "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n".to_owned(),
            "certificate 0 cannot be a root: a certificate is malformed",
        ),
        ("a private key", format!("{good}{}", pki.root.key().serialize_pem()), "a private key"),
        ("a private key in front", format!("{}{good}", pki.root.key().serialize_pem()), "a private key"),
        ("a public key", pki.root.key().public_key_pem(), "not certificates in PEM"),
        (
            "a public key behind",
            format!("{good}{}", pki.root.key().public_key_pem()),
            "not certificates in PEM",
        ),
        (
            "OpenSSL's own",
            format!("{good}{}", good.replace("CERTIFICATE", "TRUSTED CERTIFICATE")),
            "not certificates in PEM",
        ),
        ("a leaf", leaf.clone(), "certificate 0 cannot be a root: it is not an authority"),
        ("a leaf behind", format!("{good}{leaf}"), "certificate 1 cannot be a root: it is not an authority"),
        ("no CA", self_signed(&|p| p.is_ca = IsCa::NoCa), "it is not an authority"),
        (
            "no keyCertSign",
            self_signed(&|p| p.key_usages = vec![KeyUsagePurpose::CrlSign]),
            "it may not sign certificates",
        ),
        ("critical", self_signed(&critical), "it has a critical extension that is not understood"),
        (
            "ML-DSA",
            authority("root")
                .self_signed(&KeyPair::generate_for(&rcgen::PKCS_ML_DSA_44).unwrap())
                .unwrap()
                .pem(),
            "the key is not RSA, EC or Ed25519",
        ),
    ] {
        let error = build_with(pem.as_bytes()).map(|_| ()).expect_err(name);
        assert_eq!(error.kind(), ConfigErrorKind::Keys, "{name}");
        let text = error.to_string();
        assert!(text.contains(expected) && text.contains("keys"), "{name}: {text}");
    }
    assert_eq!(build_with(b"\xff").map(|_| ()).unwrap_err().kind(), ConfigErrorKind::Keys);
    assert_eq!(format!("{:?}", Keys::x5c(good.clone())), "Keys(x5c)");

    let twice =
        [tarkov().keys(Keys::x5c(good.clone())), tarkov().name("other").keys(Keys::x5c(good.clone()))];
    assert!(build(&pki.clock, twice).map(|_| ()).unwrap_err().to_string().contains("cannot be told apart"));
    let other = Keys::x5c(Pki::new().root.pem());
    let both =
        build(&pki.clock, [tarkov().keys(Keys::x5c(good)), tarkov().name("other").keys(other)]).unwrap();
    assert_eq!(accepts("the first", &both, &pki.token()).issuer_name(), "tarkov");
}

#[test]
fn a_root_that_is_over_is_told_at_the_start() {
    let pki = Pki::with(&|params| params.not_after = (now() - seconds(1)).into(), SAME, SAME);
    let said = |pki: &Pki| captured(async || drop(pki.api())).contains("no root certificate is valid now");
    assert!(said(&pki));
    assert!(!said(&Pki::new()));
}

/// Any change to a chain is a refusal, or no change: whatever it does, nothing panics.
#[test]
fn a_chain_with_bytes_changed_is_refused() {
    let pki = Pki::new();
    let api = pki.api();
    accepts("unharmed", &api, &pki.token());
    let good = [pki.leaf.der.clone(), pki.middle.der().to_vec()];
    let change = prop_oneof![
        any::<u8>().prop_map(|byte| (0, byte)),
        any::<u8>().prop_map(|byte| (1, byte)),
        any::<u8>().prop_map(|byte| (2, byte)),
    ];
    let changes = proptest::collection::vec((0..2_usize, any::<proptest::sample::Index>(), change), 1..4);
    let mut runner = TestRunner::new(Config { cases: 2_000, failure_persistence: None, ..Config::default() });
    let tried = runner.run(&changes, |changes| {
        let mut ders = good.clone();
        for (which, place, (how, byte)) in changes {
            let der = &mut ders[which];
            let place = place.index(der.len());
            match how {
                0 => der[place] = byte,
                1 => der.insert(place, byte),
                _ => drop(der.remove(place)),
            }
        }
        let token = pki.leaf.token(chain(&ders));
        let answer = crate::support::block_on(api.verify(&token)).map_err(|why| why.token_error());
        match answer {
            Ok(_) => assert_eq!(ders, good),
            Err(fault) => assert_eq!(fault, Some(TokenError::Certificate)),
        }
        Ok(())
    });
    tried.unwrap();
}
