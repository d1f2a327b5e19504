//! [`Wicked`]: wicked's authorization server, and Kong behind it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::super::Loopback;
use super::request::{Basic, Parameters, Reads};
use super::serve::{Answer, Call, Served, empty, json, lock};
use super::{Time, owned, uuid};
use crate::time::Clock;

/// The authorization server of wicked.haufe.io, with the admin port of the Kong that keeps its tokens.
///
/// Tokens are opaque and hold for one API, by default for an hour. An application has a client of its own for each API
/// that it subscribes to. Kong is version 0.14.
///
/// ```
/// use tower_bearer::testing::systems::Wicked;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let wicked = Wicked::new()
///     .api("petstore", ["read", "write"])
///     .client("robot", "its secret", "my-app", "petstore")
///     .serve()
///     .await?;
/// // A token is had by a POST here, and looked up at `/oauth2_tokens?access_token=…` of the other.
/// assert!(wicked.token_url("petstore").ends_with("/auth/default/api/petstore/token"));
/// assert_ne!(wicked.admin_url(), wicked.url());
/// # Ok(()) }
/// ```
pub struct Wicked {
    pub(super) time: Time,
    pub(super) lifetime: Duration,
    auth_method: String,
    pub(super) since_kong_1: bool,
    apis: BTreeMap<String, Api>,
    pub(super) clients: BTreeMap<String, Client>,
    /// As Kong shows them.
    pub(super) tokens: Mutex<Vec<Value>>,
}

pub(super) struct Api {
    /// Kong's service.
    pub(super) service: String,
    scopes: Vec<String>,
}

/// An application's subscription to an API, with a credential and a consumer in Kong.
pub(super) struct Client {
    /// `None` for a public one.
    pub(super) secret: Option<String>,
    pub(super) application: String,
    pub(super) api: String,
    pub(super) credential: String,
    pub(super) consumer: String,
}

/// Status, `error`, description.
type Refusal = (StatusCode, &'static str, &'static str);

impl Wicked {
    /// Without APIs and clients; the auth method is called `default`.
    #[must_use]
    pub fn new() -> Self {
        Self {
            time: Time::default(),
            lifetime: Duration::from_secs(3600),
            auth_method: "default".to_owned(),
            since_kong_1: false,
            apis: BTreeMap::new(),
            clients: BTreeMap::new(),
            tokens: Mutex::default(),
        }
    }

    /// Takes the time from this clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.time = Time(Arc::new(clock));
        self
    }

    /// The id of the auth method in its URLs.
    #[must_use]
    pub fn auth_method(mut self, id: &str) -> Self {
        id.clone_into(&mut self.auth_method);
        self
    }

    /// An API and its scopes, each of which any subscribed client may have.
    #[must_use]
    pub fn api<I: IntoIterator<Item: Into<String>>>(mut self, id: &str, scopes: I) -> Self {
        self.apis.insert(id.to_owned(), Api { service: uuid(), scopes: owned(scopes) });
        self
    }

    /// The client of an application for an API.
    #[must_use]
    pub fn client(self, id: &str, secret: &str, application: &str, api: &str) -> Self {
        self.subscription(id, Some(secret.to_owned()), application, api)
    }

    /// The same for an application that can keep no secret: it gets no token here.
    #[must_use]
    pub fn public_client(self, id: &str, application: &str, api: &str) -> Self {
        self.subscription(id, None, application, api)
    }

    /// How long tokens live, in whole seconds; 0 is for ever.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Kong is version 1 or later: `created_at` is in seconds, and another record is named by `service: {id}` instead of
    /// `service_id`.
    #[must_use]
    pub fn since_kong_1(mut self) -> Self {
        self.since_kong_1 = true;
        self
    }

    /// Serves it on one free port of 127.0.0.1, and Kong's admin port on another.
    ///
    /// # Errors
    /// If there is none.
    pub async fn serve(self) -> io::Result<Served<Self>> {
        let (loopback, admin) = (Loopback::bind().await?, Loopback::bind().await?);
        Ok(Served::new(loopback, self, Self::answer).and(admin, Self::administer))
    }

    fn subscription(mut self, id: &str, secret: Option<String>, application: &str, api: &str) -> Self {
        let (application, api) = (application.to_owned(), api.to_owned());
        let client = Client { secret, application, api, credential: uuid(), consumer: uuid() };
        self.clients.insert(id.to_owned(), client);
        self
    }

    fn answer(&self, call: &Call) -> Answer {
        let path: Vec<&str> = call.path.split('/').collect();
        let (["", "auth", method, "api", api, "token"], true) = (&*path, call.is_post()) else {
            return empty(StatusCode::NOT_FOUND);
        };
        if **method != *self.auth_method {
            return empty(StatusCode::NOT_FOUND);
        }
        match self.grant(call, api) {
            Ok(answer) => json(StatusCode::OK, &answer),
            Err((status, error, description)) => {
                json(status, &json!({"error": error, "error_description": description}))
            }
        }
    }

    fn grant(&self, call: &Call, api_id: &str) -> Result<Value, Refusal> {
        const READS: Reads = Reads { form: true, json: true, basic: Basic::Second };
        let bad = |error, description| (StatusCode::BAD_REQUEST, error, description);
        let unauthorized = |why| (StatusCode::UNAUTHORIZED, "unauthorized_client", why);
        // A body that cannot be read is one without parameters.
        let request = Parameters::read(call, &READS).unwrap_or_default();
        match request.text("grant_type") {
            Some("client_credentials") => {}
            Some(_) => return Err(bad("unsupported_grant_type", "the grant type is not supported")),
            None => return Err(bad("invalid_request", "grant_type is missing")),
        }
        let (id, secret) = request.client.as_ref().ok_or_else(|| bad("invalid_client", "no client_id"))?;
        let secret = secret.as_deref().filter(|secret| !secret.is_empty());
        let secret = secret.ok_or_else(|| bad("invalid_client", "no client_secret"))?;
        let client = self.clients.get(id).ok_or_else(|| bad("invalid_request", "unknown client_id"))?;
        let api = self.apis.get(api_id).filter(|_| client.api == api_id);
        let api = api.ok_or_else(|| unauthorized("the application has not subscribed to the API"))?;
        let scopes = scopes(request.text("scope").unwrap_or_default());
        if !scopes.iter().all(|scope| api.scopes.iter().any(|known| known == scope)) {
            return Err(bad("invalid_scope", "unknown scope"));
        }
        let Some(expected) = &client.secret else {
            return Err(unauthorized("the client is not a confidential one"));
        };
        if secret != expected {
            return Err(bad("invalid_client", "wrong client_secret"));
        }
        let token = self.issue(api, client, &scopes);
        Ok(json!({"access_token": token, "token_type": "bearer", "expires_in": self.lifetime.as_secs()}))
    }
}

impl Default for Wicked {
    fn default() -> Self {
        Self::new()
    }
}

impl Served<Wicked> {
    /// Where tokens for an API are to be had.
    #[must_use]
    pub fn token_url(&self, api: &str) -> String {
        format!("{}/auth/{}/api/{api}/token", self.url(), self.system.auth_method)
    }

    /// Kong's admin port, as `http://127.0.0.1:…`.
    #[must_use]
    pub fn admin_url(&self) -> &str {
        self.second_url()
    }

    /// Kong's id for an API: the service that its tokens are bound to.
    #[must_use]
    pub fn service(&self, api: &str) -> Option<&str> {
        self.system.apis.get(api).map(|api| &*api.service)
    }

    /// Deletes a token: Kong does not list it any more.
    pub fn revoke(&self, token: &str) {
        lock(&self.system.tokens).retain(|row| row["access_token"] != token);
    }
}

/// Separated by spaces, else by commas, else by semicolons.
fn scopes(list: &str) -> Vec<&str> {
    let separator = [' ', ',', ';'].into_iter().find(|separator| list.contains(*separator));
    list.split(separator.unwrap_or(' ')).filter(|scope| !scope.is_empty()).collect()
}
