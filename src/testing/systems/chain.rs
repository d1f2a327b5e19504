//! Chains of Ed25519 certificates: root, intermediate, leaf.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ED25519, PublicKeyData, SignatureAlgorithm, date_time_ymd,
};

use super::super::key::SigningKey;

/// What a leaf certificate says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Leaf {
    /// It may sign (`digitalSignature`), is no authority, and holds now.
    Good,
    /// It held until the year 2000.
    Expired,
    /// It holds from the year 4000 on.
    NotYetValid,
    /// It is an authority.
    Authority,
    /// Its key is for something else than signatures.
    OtherUsage,
}

/// A root and the intermediate that it has issued.
pub(super) struct Authority {
    root: Vec<u8>,
    intermediate: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new() -> Self {
        let root = CertifiedIssuer::self_signed(authority("Root"), new_key()).expect("a root");
        let intermediate = CertifiedIssuer::signed_by(authority("Intermediate"), new_key(), &root);
        Self { root: root.der().to_vec(), intermediate: intermediate.expect("an intermediate") }
    }

    /// The root, DER.
    pub(super) fn root(&self) -> &[u8] {
        &self.root
    }

    /// A leaf for this key and the intermediate, DER.
    pub(super) fn chain(&self, key: &SigningKey, leaf: Leaf) -> Vec<Vec<u8>> {
        let mut params = named("Leaf");
        params.use_authority_key_identifier_extension = true;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        match leaf {
            Leaf::Good => {}
            Leaf::Expired => params.not_after = date_time_ymd(2000, 1, 1),
            Leaf::NotYetValid => params.not_before = date_time_ymd(4000, 1, 1),
            Leaf::Authority => params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            Leaf::OtherUsage => params.key_usages = vec![KeyUsagePurpose::KeyAgreement],
        }
        let leaf = params.signed_by(&Public(key), &self.intermediate).expect("a leaf");
        vec![leaf.der().to_vec(), self.intermediate.der().to_vec()]
    }
}

/// The public half of an Ed25519 key.
struct Public<'a>(&'a SigningKey);

impl PublicKeyData for Public<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.public_raw()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.use_authority_key_identifier_extension = true;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Valid from 1975 to 4096.
fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, format!("Test {name}"));
    params
}

fn new_key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ED25519).expect("an Ed25519 key")
}
