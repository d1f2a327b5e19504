//! Who we are, to the endpoint (RFC 7662 §2.1).

use std::sync::Arc;

use http::HeaderValue;
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::assertion::{Assertion, ClientKey};
use crate::error::{ConfigError, ConfigErrorKind};
use crate::fetch::FetchRequest;
use crate::lookup::{LookupError, OpaqueToken};
use crate::secret::Secret;
use crate::time::Clock;

/// Who we are, to the endpoint.
pub(super) enum Client {
    Basic(String, Secret<String>),
    Post(String, Secret<String>),
    PrivateKeyJwt(String, ClientKey),
    Bearer(Secret<String>),
}

/// What says so in each request.
pub(super) struct Credentials {
    authorization: Option<HeaderValue>,
    /// Members of the form besides the token.
    members: Vec<(&'static str, Secret<String>)>,
    assertion: Option<Assertion>,
}

impl Client {
    /// What the authorization server calls us.
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::Basic(id, _) | Self::Post(id, _) | Self::PrivateKeyJwt(id, _) => Some(id),
            Self::Bearer(_) => None,
        }
    }

    /// `audience` is for whom an assertion is, if not for whoever is asked.
    pub(super) fn resolve(
        self,
        mut audience: Option<String>,
        whoever_is_asked: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Credentials, ConfigError> {
        let wrong = |message: &'static str| ConfigError::new(ConfigErrorKind::Lookup, message);
        let mut assertion = None;
        let (authorization, members) = match self {
            Self::Basic(id, secret) if !id.is_empty() && !secret.expose().is_empty() => {
                (Some(basic(&id, &secret)), Vec::new())
            }
            Self::Post(id, secret) if !id.is_empty() && !secret.expose().is_empty() => {
                (None, vec![("client_id", Secret::new(id)), ("client_secret", secret)])
            }
            Self::PrivateKeyJwt(id, key) if !id.is_empty() => {
                let audience = match audience.take() {
                    Some(empty) if empty.is_empty() => {
                        return Err(wrong("the audience of our assertion is empty; leave it out"));
                    }
                    Some(audience) => audience,
                    None => whoever_is_asked.to_owned(),
                };
                let key = key.import()?;
                assertion = Some(Assertion { key, client_id: id.clone(), audience, clock });
                let kind = Secret::new(Assertion::TYPE.to_owned());
                (None, vec![("client_id", Secret::new(id)), ("client_assertion_type", kind)])
            }
            Self::Bearer(token) if !token.expose().is_empty() => {
                (Some(Secret::new(format!("Bearer {}", token.expose()))), Vec::new())
            }
            _ => {
                return Err(wrong(
                    "our client id, our secret or our token is empty; write what the issuer gave us",
                ));
            }
        };
        if audience.is_some() {
            return Err(wrong("only a private_key_jwt has an audience; leave it out"));
        }
        match authorization.map(|value| HeaderValue::from_str(value.expose())).transpose() {
            Ok(authorization) => Ok(Credentials { authorization, members, assertion }),
            Err(_) => Err(wrong("our token cannot be sent; write one without line breaks")),
        }
    }
}

impl Credentials {
    /// The question about a token, by us.
    pub(super) fn ask(
        &self,
        request: FetchRequest,
        token: &OpaqueToken,
    ) -> Result<FetchRequest, LookupError> {
        let request = request.post(self.form(token)?);
        Ok(match &self.authorization {
            Some(value) => request.authorize(value.clone()),
            None => request,
        })
    }

    /// RFC 7662 §2.1.
    fn form(&self, token: &OpaqueToken) -> Result<String, LookupError> {
        // RFC 7521 §4.2.
        let assertion = self.assertion.as_ref().map(Assertion::sign).transpose()?;
        let assertion = assertion.as_ref().map(|assertion| ("client_assertion", assertion));
        let fixed = self.members.iter().map(|(name, value)| (*name, value));
        let credentials = || fixed.clone().chain(assertion);
        // Room for the longest it can get: whoever grows leaves a copy behind.
        let names = credentials().map(|(name, value)| name.len().saturating_add(value.expose().len()));
        let length = names.fold(token.expose().len(), usize::saturating_add).saturating_mul(3);
        let mut form = form_urlencoded::Serializer::new(String::with_capacity(length.saturating_add(128)));
        form.append_pair("token", token.expose()).append_pair("token_type_hint", "access_token");
        for (name, value) in credentials() {
            form.append_pair(name, value.expose());
        }
        Ok(form.finish())
    }
}

/// Both halves as in a form, so that a colon in the first does no harm (RFC 6749 §2.3.1).
fn basic(id: &str, secret: &Secret<String>) -> Secret<String> {
    let length = id.len().saturating_add(secret.expose().len()).saturating_mul(3).saturating_add(1);
    let mut both = Zeroizing::new(String::with_capacity(length));
    both.extend(form_urlencoded::byte_serialize(id.as_bytes()));
    both.push(':');
    both.extend(form_urlencoded::byte_serialize(secret.expose().as_bytes()));
    let encoded = Secret::new(base64_simd::STANDARD.encode_to_string(both.as_bytes()));
    Secret::new(format!("Basic {}", encoded.expose()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6749_2_3_1_both_halves_are_encoded() {
        let value = basic("a:b é", &Secret::new("p&w %+".to_owned()));
        assert_eq!(
            *value.expose(),
            format!("Basic {}", base64_simd::STANDARD.encode_to_string(b"a%3Ab+%C3%A9:p%26w+%25%2B"))
        );
    }
}
