//! [`Profile`]: the dialect in which an issuer writes its claims. Plain data, no code paths.

mod ready;

pub use self::ready::UnknownProfile;
use crate::error::{ConfigError, ConfigErrorKind};
use crate::jose::{Claims, TokenError, Value};
use crate::scope::Granted;

/// Where an issuer's tokens say who the client is and what it may do, and what they must hold.
///
/// The [`default`](Self::default) reads what most issuers write; [`rfc9068`](Self::rfc9068) demands what the
/// standard demands. For many providers there is one ready-made, such as [`keycloak`](Self::keycloak); all are listed in
/// [`manual::providers`](crate::manual::providers). They can be changed, and one's own is five lines:
///
/// ```
/// use tower_bearer::Profile;
///
/// let ours = Profile::default()
///     .types(["JWT"])
///     .client_claims(["app"])
///     .scope_claims(["/access/roles"])
///     .claim("use", ["access"]);
/// let keycloak = Profile::keycloak().scope_claims(["/realm_access/roles"]);
/// # let _ = (ours, keycloak);
/// ```
///
/// A claim is given by its name or, with a leading slash, by a JSON Pointer (RFC 6901) through nested objects.
/// Of several, the first that is present counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    client: Vec<String>,
    scope: Vec<String>,
    types: Vec<String>,
    required: Vec<String>,
    values: Vec<(String, Vec<String>)>,
    trust_scopes: bool,
    audience_optional: bool,
    listed_clients: bool,
    scope_members: bool,
}

/// What a token says about who holds it.
#[derive(Debug)]
pub(crate) struct Identity<'a> {
    pub(crate) client_id: Option<&'a str>,
    pub(crate) subject: Option<&'a str>,
    pub(crate) token_id: Option<&'a str>,
    pub(crate) scopes: Granted<'a>,
}

impl Default for Profile {
    /// Client from `client_id`, else `azp`, else `cid`; scopes from `scope`, else `scp`, as a string or an array;
    /// `typ` is `at+jwt`, `JWT` or absent; nothing required beyond `iss` (of a named issuer), `aud` and `exp`.
    fn default() -> Self {
        Self {
            client: owned(["client_id", "azp", "cid"]),
            scope: owned(["scope", "scp"]),
            types: owned(DEFAULT_TYPES),
            required: Vec::new(),
            values: Vec::new(),
            trust_scopes: true,
            audience_optional: false,
            listed_clients: false,
            scope_members: false,
        }
    }
}

impl Profile {
    /// Where the client's identifier is. An empty string there is no identity.
    #[must_use]
    pub fn client_claims<I: IntoIterator<Item: Into<String>>>(mut self, claims: I) -> Self {
        self.client = owned(claims);
        self
    }

    /// Where the scopes are: a space-separated string or an array of strings. See also
    /// [`scope_members`](Self::scope_members).
    #[must_use]
    pub fn scope_claims<I: IntoIterator<Item: Into<String>>>(mut self, claims: I) -> Self {
        self.scope = owned(claims);
        self
    }

    /// Scopes may also be the names of the members of an object, if these are objects themselves: so does ZITADEL write
    /// roles.
    #[must_use]
    pub fn scope_members(mut self) -> Self {
        self.scope_members = true;
        self
    }

    /// The values of `typ` that are accepted, compared ignoring case and a leading `application/`; `""` stands
    /// for a header without `typ`.
    ///
    /// # Security
    /// The same key often signs ID tokens, refresh tokens and logout tokens. A narrow list keeps them out.
    #[must_use]
    pub fn types<I: IntoIterator<Item: Into<String>>>(mut self, types: I) -> Self {
        self.types = owned(types);
        self
    }

    /// Claims without which a token is refused, in addition to `exp`, `aud`, a named issuer's `iss` and those that the
    /// profile asks for already.
    #[must_use]
    pub fn require<I: IntoIterator<Item: Into<String>>>(mut self, claims: I) -> Self {
        self.required.extend(claims.into_iter().map(Into::into));
        self
    }

    /// Asks for a claim with one of these values: a string that is one of them, or an array that holds one. For an
    /// issuer that says in a claim what its header does not, such as `token_use` or `ver`.
    ///
    /// ```
    /// # use tower_bearer::Profile;
    /// let access_tokens = Profile::default().claim("token_use", ["access"]);
    /// # let _ = access_tokens;
    /// ```
    #[must_use]
    pub fn claim<I: IntoIterator<Item: Into<String>>>(mut self, claim: impl Into<String>, values: I) -> Self {
        self.values.push((claim.into(), owned(values)));
        self
    }

    /// Accepts tokens without `aud`; one that is there must match all the same. For an issuer that leaves it out.
    ///
    /// # Security
    /// A token without `aud` is for nobody in particular: what a client gave to another service can be used here by that
    /// service. Something else must tell our tokens from others': [clients](crate::Issuer::clients), or on every route a
    /// scope that only our API has.
    #[must_use]
    pub fn optional_audience(mut self) -> Self {
        self.audience_optional = true;
        self
    }

    /// Makes [`Issuer::clients`](crate::Issuer::clients) a duty: for an issuer that gives tokens for us to anybody. An
    /// issuer with this profile and without clients is a [`ConfigError`], unless it says
    /// [`dangerous_any_audience`](crate::Issuer::dangerous_any_audience).
    #[must_use]
    pub fn listed_clients(mut self) -> Self {
        self.listed_clients = true;
        self
    }

    /// For an issuer that grants whatever scope a client asks for: the scopes in its tokens then mean nothing and
    /// none is taken over. What a client may do can be said by [`Issuer::grant`](crate::Issuer::grant).
    #[must_use]
    pub fn untrusted_scopes(mut self) -> Self {
        self.trust_scopes = false;
        self
    }

    /// Whether `aud` says who the client is, and so nothing of whom the token is for.
    pub(crate) fn audience_is_client(&self) -> bool {
        self.client == ["aud"]
    }

    #[cfg(feature = "settings")]
    pub(crate) fn trusts_scopes(&self) -> bool {
        self.trust_scopes
    }

    /// Whether nothing but a list of clients keeps strangers out.
    pub(crate) fn needs_clients(&self) -> bool {
        self.listed_clients || self.audience_is_client()
    }

    /// Whether it finds a client at all.
    pub(crate) fn reads_clients(&self) -> bool {
        !self.client.is_empty()
    }

    pub(crate) fn audience_is_optional(&self) -> bool {
        self.audience_optional
    }

    pub(crate) fn accepted_types(&self) -> &[String] {
        &self.types
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let wrong = |kind, setting, message| Err(ConfigError::new(kind, message).at(setting));
        if self.types.is_empty() {
            let message = "no token type would be accepted; write types such as [\"at+jwt\", \"JWT\", \"\"] or leave them out";
            return wrong(ConfigErrorKind::Types, "types", message);
        }
        let paths = [&self.client, &self.scope, &self.required].into_iter().flatten();
        if paths.chain(self.values.iter().map(|(claim, _)| claim)).any(String::is_empty) {
            let message = "a claim without a name; write it, or leave it out";
            return wrong(ConfigErrorKind::Claim, "claims", message);
        }
        if self.values.iter().any(|(_, values)| values.is_empty()) {
            let message = "no value would be accepted; write some, or leave the claim out";
            return wrong(ConfigErrorKind::Claim, "claims", message);
        }
        Ok(())
    }

    /// Reads a verified token's claims.
    pub(crate) fn identify<'a>(&self, claims: &'a Claims<'_>) -> Result<Identity<'a>, TokenError> {
        for path in &self.required {
            // `null` is there, but it says nothing.
            if matches!(claims.find(path).map_err(|fault| told(path, fault))?, None | Some(Value::Null)) {
                return Err(told(path, TokenError::MissingClaim));
            }
        }
        let text = |path: &str| claims.text(path).map_err(|fault| told(path, fault));
        let not_empty = |text: Option<&'a str>| text.filter(|text| !text.is_empty());
        let client = self.client.iter().find_map(|path| text(path).transpose()).transpose()?;
        let scopes = match self.scope.iter().find_map(|path| Some((path, claims.find(path).transpose()?))) {
            Some((path, value)) => {
                value.and_then(|value| self.read_scopes(value)).map_err(|fault| told(path, fault))?
            }
            None => Granted::default(),
        };
        let identity = Identity {
            client_id: not_empty(client),
            subject: not_empty(text("sub")?),
            token_id: not_empty(text("jti")?),
            scopes: if self.trust_scopes { scopes } else { Granted::default() },
        };
        for (claim, values) in &self.values {
            match claims.hold(claim, values).map_err(|fault| told(claim, fault))? {
                Some(true) => {}
                Some(false) => return Err(told(claim, TokenError::ClaimValue)),
                None => return Err(told(claim, TokenError::MissingClaim)),
            }
        }
        check_confirmation(claims)?;
        Ok(identity)
    }

    fn read_scopes<'a>(&self, value: &'a Value<'_>) -> Result<Granted<'a>, TokenError> {
        match value {
            Value::String(list) => Ok(Granted::from_list(list)),
            Value::Array(items) => {
                let items: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
                Ok(Granted::from_items(items.ok_or(TokenError::ClaimType)?))
            }
            Value::Object(members) if self.scope_members => {
                Ok(Granted::from_items(members.names_of_objects().ok_or(TokenError::ClaimType)?))
            }
            _ => Err(TokenError::ClaimType),
        }
    }
}

/// RFC 9449 §7.2, RFC 8705 §3: a token that is bound to a key must not pass as a plain bearer token. No proof is
/// supported, so every binding is unmet; an empty `cnf` binds to nothing.
pub(crate) fn check_confirmation(claims: &Claims<'_>) -> Result<(), TokenError> {
    match claims.find("cnf")? {
        None => Ok(()),
        Some(Value::Object(cnf)) if cnf.is_empty() => Ok(()),
        Some(Value::Object(_)) => Err(TokenError::Confirmation),
        Some(_) => Err(TokenError::ClaimType),
    }
}

/// Says in the log which claim it is, by its name in the profile. Of the token nothing is said.
#[cold]
fn told(claim: &str, fault: TokenError) -> TokenError {
    tracing::debug!(
        target: "tower_bearer::rejection", claim, reason = fault.description(),
        "a claim is not what the profile asks for"
    );
    fault
}

fn owned<I: IntoIterator<Item: Into<String>>>(items: I) -> Vec<String> {
    items.into_iter().map(Into::into).collect()
}

/// `at+jwt` is the standard's, `JWT` or nothing is what many issuers write.
pub(crate) const DEFAULT_TYPES: [&str; 3] = ["at+jwt", "JWT", ""];
