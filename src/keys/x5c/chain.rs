//! [`Roots`]: who may certify keys, and whether a chain leads to one of them.
//!
//! Names alone say what path there is, and webpki validates it. It looks neither at `keyUsage` nor at anything of a root but
//! its name and its key, and does not say how long a path is valid; that is read with x509-cert.

use std::ops::Range;
use std::slice;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls_pki_types::pem::{PemObject, SectionKind};
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{
    EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeId, KeyPurposeIdIter, anchor_from_trusted_cert,
};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};

use super::super::wrong;
use crate::error::ConfigError;
use crate::jose::{AlgorithmSet, Key, RootKey, Standing};
use crate::time::Timestamp;

/// Why a chain or a root is not accepted.
type Reason = &'static str;

/// Certificates that are trusted because the operator says so.
#[derive(Debug)]
pub(super) struct Roots(Vec<Root>);

#[derive(Debug)]
struct Root {
    der: CertificateDer<'static>,
    /// What webpki needs.
    anchor: TrustAnchor<'static>,
    key: RootKey,
    valid: Range<Timestamp>,
    /// So many authorities may stand between it and a signer.
    max_authorities: Option<u8>,
}

impl Roots {
    pub(super) fn from_pem(pem: &[u8]) -> Result<Self, ConfigError> {
        let text = std::str::from_utf8(pem).map_err(|_| not_certificates())?;
        if text.contains("PRIVATE KEY-----") {
            return Err(wrong("a private key; write the root certificate alone, and keep its key elsewhere"));
        }
        let mut roots = Vec::new();
        for block in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
            let (SectionKind::Certificate, der) = block.map_err(|_| not_certificates())? else {
                return Err(not_certificates());
            };
            let root = Root::read(der).map_err(|reason| {
                let place = roots.len();
                wrong(format!("certificate {place} cannot be a root: {reason}; write that of an authority"))
            })?;
            roots.push(root);
        }
        // The reader passes over blocks whose names it does not know.
        if roots.is_empty() || roots.len() != text.matches("-----BEGIN ").count() {
            return Err(not_certificates());
        }
        Ok(Self(roots))
    }

    pub(super) fn valid(&self, now: Timestamp) -> usize {
        self.0.iter().filter(|root| root.valid.contains(&now)).count()
    }

    /// Whether a chain could lead to one of both: to the same one, or to one that the other has certified.
    pub(super) fn share_one_with(&self, other: &Self) -> bool {
        self.0.iter().any(|ours| {
            let leads_to_both = |theirs: &Root| {
                ours.has_the_key_of(theirs) || ours.has_certified(theirs) || theirs.has_certified(ours)
            };
            other.0.iter().any(leads_to_both)
        })
    }

    /// The key of the first certificate, if the others lead from it to a root.
    ///
    /// # Security
    /// Each root of the fitting name costs at most one signature for each certificate, and other chains cost none.
    pub(super) fn certify(
        &self,
        chain: &[CertificateDer<'_>],
        allowed: AlgorithmSet,
        now: Timestamp,
    ) -> Result<Key, Reason> {
        let (leaf, authorities) = chain.split_first().ok_or("there is none")?;
        // Some issuers write the root too. It proves nothing, but then it must be that of this path.
        let written = authorities.last().and_then(|last| self.0.iter().find(|root| root.is_written_as(last)));
        let authorities = match (written, authorities.split_last()) {
            (Some(_), Some((_, rest))) => rest,
            _ => authorities,
        };
        let end_entity = EndEntityCert::try_from(leaf).map_err(|error| reason(&error))?;
        let name = last_issuer(&end_entity, authorities)?;
        let mut fault = NO_ROOT;
        for root in &self.0 {
            let is_its = root.is_called(&name)
                && written.is_none_or(|written| written.is_called(&name) && written.has_the_key_of(root));
            if !is_its || !root.allows(authorities.len(), now) {
                continue;
            }
            match root.certify(&end_entity, authorities, now) {
                Ok(()) => return signer(leaf, authorities, &root.valid, allowed),
                Err(why) => fault = why,
            }
        }
        Err(fault)
    }
}

impl Root {
    fn read(der: Vec<u8>) -> Result<Self, Reason> {
        let der = CertificateDer::from(der);
        // Also refuses critical extensions that nobody here would heed.
        EndEntityCert::try_from(&der).map_err(|error| reason(&error))?;
        let certificate = read(&der)?;
        let fields = certificate.tbs_certificate();
        let (_, constraints) = fields
            .get_extension::<BasicConstraints>()
            .map_err(|_| MALFORMED)?
            .filter(|(_, constraints)| constraints.ca)
            .ok_or("it is not an authority")?;
        if key_usage(&certificate)?.is_some_and(|usage| !usage.key_cert_sign()) {
            return Err("it may not sign certificates");
        }
        let purposes = fields.get_extension::<ExtendedKeyUsage>().map_err(|_| MALFORMED)?;
        if purposes.is_some_and(|(_, purposes)| !purposes.0.iter().any(|purpose| PURPOSES.contains(purpose)))
        {
            return Err(PURPOSE);
        }
        let key = RootKey::import(fields.subject_public_key_info())?;
        let anchor = anchor_from_trusted_cert(&der).map_err(|error| reason(&error))?.to_owned();
        let (valid, max_authorities) = (validity(&certificate)?, constraints.path_len_constraint);
        Ok(Self { der, anchor, key, valid, max_authorities })
    }

    /// This and the key make a root, and its certificate may be renewed.
    fn is_called(&self, name: &[u8]) -> bool {
        self.anchor.subject.as_ref() == name
    }

    /// Whether this is its certificate, or another one of the same name and key: a renewed one.
    fn is_written_as(&self, certificate: &CertificateDer<'_>) -> bool {
        self.der == *certificate
            || anchor_from_trusted_cert(certificate).is_ok_and(|other| {
                self.is_called(&other.subject)
                    && self.anchor.subject_public_key_info == other.subject_public_key_info
            })
    }

    fn has_the_key_of(&self, other: &Self) -> bool {
        self.anchor.subject_public_key_info == other.anchor.subject_public_key_info
    }

    fn has_certified(&self, other: &Self) -> bool {
        EndEntityCert::try_from(&other.der).is_ok_and(|it| self.is_called(it.issuer()))
            && self.key.has_signed(&other.der)
    }

    /// webpki would look for a path among all that it is given. The names leave it one: see [`last_issuer`].
    fn certify(
        &self,
        leaf: &EndEntityCert<'_>,
        authorities: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<(), Reason> {
        let path = leaf.verify_for_usage(
            &self.key.signatures(),
            slice::from_ref(&self.anchor),
            authorities,
            seconds(now),
            TokenSigning,
            None,
            None,
        );
        path.map(|_| ()).map_err(|error| reason(&error))
    }

    fn allows(&self, authorities: usize, now: Timestamp) -> bool {
        self.valid.contains(&now) && self.max_authorities.is_none_or(|max| authorities <= usize::from(max))
    }
}

/// Whom the last certificate names as its issuer, if each other names the next one, and neither a name, its own too,
/// nor a key of an authority comes twice. Nothing is proven by this; a chain of other names is none.
fn last_issuer(leaf: &EndEntityCert<'_>, authorities: &[CertificateDer<'_>]) -> Result<Vec<u8>, Reason> {
    let (mut issuer, mut names, mut keys) = (leaf.issuer().to_vec(), Vec::new(), Vec::new());
    for authority in authorities {
        let authority = EndEntityCert::try_from(authority).map_err(|error| reason(&error))?;
        let key = authority.subject_public_key_info();
        if authority.subject() != issuer || names.contains(&issuer) || keys.contains(&key) {
            return Err(NO_ROOT);
        }
        names.push(issuer);
        keys.push(key);
        issuer = authority.issuer().to_vec();
    }
    if names.contains(&issuer) { Err(NO_ROOT) } else { Ok(issuer) }
}

/// What webpki leaves: the key of the leaf of a valid path, for as long as all of the path is valid.
fn signer(
    leaf: &CertificateDer<'_>,
    authorities: &[CertificateDer<'_>],
    root: &Range<Timestamp>,
    allowed: AlgorithmSet,
) -> Result<Key, Reason> {
    let mut valid = root.clone();
    for authority in authorities {
        let authority = read(authority)?;
        if key_usage(&authority)?.is_some_and(|usage| !usage.key_cert_sign()) {
            return Err("an authority may not sign certificates");
        }
        valid = both(&valid, &validity(&authority)?);
    }
    let leaf = read(leaf)?;
    if !key_usage(&leaf)?.is_some_and(|usage| usage.digital_signature()) {
        return Err("its keyUsage does not have digitalSignature");
    }
    valid = both(&valid, &validity(&leaf)?);
    let key = leaf.tbs_certificate().subject_public_key_info();
    Key::from_certificate(key, allowed, Standing::within(valid))
}

/// What a certificate that says its purposes (`extKeyUsage`, RFC 5280 §4.2.1.12) must be for.
struct TokenSigning;

/// `id-kp-oauthAccessTokenSigning` and `id-kp-jwt` (RFC 9509 §4), and `anyExtendedKeyUsage`.
const PURPOSES: [ObjectIdentifier; 3] = [
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.39"),
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.37"),
    ObjectIdentifier::new_unwrap("2.5.29.37.0"),
];

impl ExtendedKeyUsageValidator for TokenSigning {
    /// Is asked with none, if the certificate does not say.
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        let mut any = false;
        let mut fits = false;
        for purpose in purposes {
            let purpose = purpose?;
            any = true;
            fits |= PURPOSES.iter().any(|ours| KeyPurposeId::new(ours.as_bytes()) == purpose);
        }
        // webpki's own error for this would list what there is.
        if fits || !any { Ok(()) } else { Err(webpki::Error::EmptyEkuExtension) }
    }
}

const MALFORMED: Reason = "a certificate is malformed";
const NO_ROOT: Reason = "it does not lead to a root";
const PURPOSE: Reason = "its extKeyUsage is for something else";

fn read(der: &CertificateDer<'_>) -> Result<Certificate, Reason> {
    Certificate::from_der(der).map_err(|_| MALFORMED)
}

fn key_usage(certificate: &Certificate) -> Result<Option<KeyUsage>, Reason> {
    let extension = certificate.tbs_certificate().get_extension::<KeyUsage>();
    Ok(extension.map_err(|_| MALFORMED)?.map(|(_, usage)| usage))
}

/// Up to the end of the last second (RFC 5280 §4.1.2.5: inclusive).
fn validity(certificate: &Certificate) -> Result<Range<Timestamp>, Reason> {
    let validity = certificate.tbs_certificate().validity();
    let at = |time: Duration| i64::try_from(time.as_secs()).ok().and_then(Timestamp::from_seconds);
    let from = at(validity.not_before.to_unix_duration()).ok_or(MALFORMED)?;
    let last = at(validity.not_after.to_unix_duration()).ok_or(MALFORMED)?;
    Ok(from..last.plus(Duration::from_secs(1)))
}

fn both(one: &Range<Timestamp>, other: &Range<Timestamp>) -> Range<Timestamp> {
    one.start.max(other.start)..one.end.min(other.end)
}

/// Before 1970 nothing is valid.
fn seconds(now: Timestamp) -> UnixTime {
    let since = SystemTime::from(now).duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime::since_unix_epoch(since)
}

/// In words of ours: an error of webpki's may hold names.
fn reason(error: &webpki::Error) -> Reason {
    use webpki::Error as E;
    match error {
        E::CertExpired { .. } => "expired",
        E::CertNotValidYet { .. } => "not valid yet",
        E::UnknownIssuer => NO_ROOT,
        E::InvalidSignatureForPublicKey => "a signature does not hold",
        E::CaUsedAsEndEntity => "the signer's certificate is that of an authority",
        E::EndEntityUsedAsCa => "one that is no authority has signed a certificate",
        E::PathLenConstraintViolated | E::MaximumPathDepthExceeded => "it is longer than an authority allows",
        E::EmptyEkuExtension => PURPOSE,
        E::UnsupportedCriticalExtension => "it has a critical extension that is not understood",
        E::NameConstraintViolation => "a name is outside of what an authority may certify",
        E::UnsupportedSignatureAlgorithmContext(_)
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            "it is signed with an algorithm that is not accepted"
        }
        _ => MALFORMED,
    }
}

fn not_certificates() -> ConfigError {
    wrong("not certificates in PEM; write one CERTIFICATE block for each root, and nothing else")
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    };

    use super::*;
    use crate::jose::Algorithm;

    type Authority = CertifiedIssuer<'static, KeyPair>;

    fn key() -> KeyPair {
        KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap()
    }

    fn authority(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    fn root() -> Authority {
        Authority::self_signed(authority("root"), key()).unwrap()
    }

    fn leaf(issuer: &Authority) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.signed_by(&key(), issuer).unwrap().der().clone()
    }

    /// Whether the chain is good, and how many signatures it took to say so.
    fn cost(roots: &[&Authority], chain: &[&CertificateDer<'_>]) -> (bool, usize) {
        let roots =
            Roots::from_pem(roots.iter().map(|root| root.pem()).collect::<String>().as_bytes()).unwrap();
        let chain: Vec<_> = chain.iter().map(|&der| der.clone()).collect();
        let key = roots.certify(&chain, Algorithm::ALL.into_iter().collect(), SystemTime::now().into());
        (key.is_ok(), roots.0.iter().map(|root| root.key.checks()).sum())
    }

    #[test]
    fn a_chain_costs_no_more_signatures_than_certificates_for_each_root_of_its_name() {
        let [good, second, third] = [(); 3].map(|()| root());
        let middle = Authority::signed_by(authority("middle"), key(), &good).unwrap();
        let lower = Authority::signed_by(authority("lower"), key(), &middle).unwrap();
        let end = leaf(&lower);
        let path = [&end, lower.der(), middle.der()];
        assert_eq!(cost(&[&good], &path), (true, 3));
        assert_eq!(cost(&[&good], &[&end, lower.der(), middle.der(), good.der()]), (true, 3));
        // Another root of this name is found out by the first signature.
        assert_eq!(cost(&[&second, &third, &good], &path), (true, 5));
        assert_eq!(cost(&[&second, &third], &path), (false, 2));

        // Whoever knows the name of a root has any number of authorities of this name.
        let forged = [(); 3].map(|()| root());
        let end = leaf(&forged[0]);
        assert_eq!(cost(&[&good], &[&end]), (false, 1));
        assert_eq!(cost(&[&good], &[&end, forged[0].der()]), (false, 0));
        let all = [&end, forged[0].der(), forged[1].der(), forged[2].der()];
        assert_eq!(cost(&[&good], &all), (false, 0));
        assert_eq!(cost(&[&good, &second, &third], &all), (false, 0));

        // And may put good authorities above a forged one.
        let forged = Authority::self_signed(authority("lower"), key()).unwrap();
        assert_eq!(cost(&[&good], &[&leaf(&forged), lower.der(), middle.der()]), (false, 3));

        // Round in a circle, and one key under two names.
        let one = Authority::signed_by(authority("one"), key(), &good).unwrap();
        let another = Authority::signed_by(authority("another"), key(), &one).unwrap();
        let back = Authority::signed_by(authority("one"), key(), &another).unwrap();
        assert_eq!(cost(&[&good], &[&leaf(&another), another.der(), one.der()]), (true, 3));
        assert_eq!(cost(&[&good], &[&leaf(&another), another.der(), back.der(), another.der()]), (false, 0));
        let same = KeyPair::try_from(one.key().serialize_der()).unwrap();
        let same = Authority::signed_by(authority("another"), same, &one).unwrap();
        assert_eq!(cost(&[&good], &[&leaf(&same), same.der(), one.der()]), (false, 0));
    }
}
