//! The Kong behind [`Wicked`]: its records, and its admin port.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::{Value, json};

use super::super::random_bytes;
use super::serve::{Answer, Call, json, lock};
use super::wicked::{Api, Client, Wicked};
use super::{since_epoch, uuid};

impl Wicked {
    /// Leaves a token with Kong.
    pub(super) fn issue(&self, api: &Api, client: &Client, scopes: &[&str]) -> String {
        let token = alphanumeric();
        let created = since_epoch(self.time.now());
        let mut row = json!({
            "id": uuid(),
            "access_token": token,
            "token_type": "bearer",
            "expires_in": self.lifetime.as_secs(),
        });
        if self.since_kong_1 {
            row["created_at"] = created.as_secs().into();
            row["service"] = json!({"id": api.service});
            row["credential"] = json!({"id": client.credential});
        } else {
            row["created_at"] = u64::try_from(created.as_millis()).unwrap_or(u64::MAX).into();
            row["service_id"] = (*api.service).into();
            row["credential_id"] = (*client.credential).into();
        }
        if !scopes.is_empty() {
            row["scope"] = scopes.join(" ").into();
        }
        lock(&self.tokens).push(row);
        token
    }

    /// Kong's admin port, which asks for no credentials.
    pub(super) fn administer(&self, call: &Call) -> Answer {
        let list = |rows: Vec<Value>| json(StatusCode::OK, &json!({"total": rows.len(), "data": rows}));
        // Without a filter a list is whole.
        let chosen = |name, value: &str| call.query(name).is_none_or(|wanted| wanted == value);
        let missing = || json(StatusCode::NOT_FOUND, &json!({"message": "Not found"}));
        match &*call.path {
            "/oauth2_tokens" => {
                let tokens = lock(&self.tokens);
                let fits =
                    |row: &&Value| chosen("access_token", row["access_token"].as_str().unwrap_or_default());
                list(tokens.iter().filter(fits).cloned().collect())
            }
            "/oauth2" => {
                let clients = self.clients.iter().filter(|(_, client)| chosen("id", &client.credential));
                list(clients.map(|(id, client)| self.credential(id, client)).collect())
            }
            path => {
                let id = path.strip_prefix("/consumers/");
                let client = self.clients.values().find(|client| id == Some(&client.consumer));
                client.map_or_else(missing, |client| json(StatusCode::OK, &client.as_consumer()))
            }
        }
    }

    fn credential(&self, id: &str, client: &Client) -> Value {
        let mut row = json!({
            "id": client.credential,
            "name": client.application,
            "client_id": id,
            "client_secret": client.secret,
        });
        if self.since_kong_1 {
            row["consumer"] = json!({"id": client.consumer});
        } else {
            row["consumer_id"] = (*client.consumer).into();
        }
        row
    }
}

impl Client {
    fn as_consumer(&self) -> Value {
        json!({"id": self.consumer, "username": format!("{}${}", self.application, self.api)})
    }
}

/// 32 random letters and digits.
fn alphanumeric() -> String {
    let random = STANDARD.encode(random_bytes(96));
    random.chars().filter(char::is_ascii_alphanumeric).take(32).collect()
}
