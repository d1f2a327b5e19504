//! The authorization servers, and how a client gets a token from each: byte by byte as its document says.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tower_bearer::Clock;
use tower_bearer::testing::TokenBuilder;
use tower_bearer::testing::systems::{Aidbox, ClickView, OroCommerce, Served, TarkovDatabase, Wicked};

use super::wire;
use super::{API, Error};

/// Clients of Tarkov Database are UUIDs.
pub(super) const READER: &str = "0b5e3a1c-6f2d-4a7e-9c1b-8d7f6e5a4b3c";
pub(super) const EVERYTHING: &str = "7c1d9e52-3b4a-4f60-8e2d-1a2b3c4d5e6f";
pub(super) const SECRET: &str = "its-secret";

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum System {
    ClickView,
    Wicked,
    Tarkov,
    Oro,
    Aidbox,
}

impl System {
    /// What our settings call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ClickView => "clickview",
            Self::Wicked => "wicked",
            Self::Tarkov => "tarkov",
            Self::Oro => "oro",
            Self::Aidbox => "aidbox",
        }
    }
}

/// All of them, with the same clock.
pub(super) struct Systems {
    pub(super) clickview: Served<ClickView>,
    pub(super) wicked: Served<Wicked>,
    pub(super) tarkov: Served<TarkovDatabase>,
    pub(super) oro: Served<OroCommerce>,
    pub(super) aidbox: Served<Aidbox>,
}

/// A request for a token.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) system: System,
    /// Content type, and whether the credentials are in a header.
    pub(super) how: &'static str,
    pub(super) path: &'static str,
    headers: Vec<String>,
    body: String,
}

impl Systems {
    pub(super) async fn serve(clock: impl Clock + Clone) -> Result<Self, Error> {
        let embeds = ["smartembed.viewkey"];
        Ok(Self {
            clickview: ClickView::new()
                .clock(clock.clone())
                .client("player", SECRET, ["smartembed.viewkey", "smartembed.admin"])
                .client("looked-up", SECRET, embeds)
                .client("looked-up-elsewhere", SECRET, ["smartembed.admin"])
                .by_reference("looked-up")
                .by_reference("looked-up-elsewhere")
                .api_resource("integrations", SECRET, embeds)
                .api_resource("administration", SECRET, ["smartembed.admin"])
                .serve()
                .await?,
            wicked: Wicked::new()
                .clock(clock.clone())
                .api("petstore", ["read", "write"])
                .api("mobile", ["read"])
                .client("pets", SECRET, "pet-shop", "petstore")
                .client("phone", SECRET, "pet-shop", "mobile")
                .serve()
                .await?,
            tarkov: TarkovDatabase::new([API])
                .clock(clock.clone())
                .client(READER, SECRET, ["read:item"])
                .client(EVERYTHING, SECRET, ["read:all"])
                .serve()
                .await?,
            oro: OroCommerce::new()
                .clock(clock.clone())
                .client("robot", SECRET)
                .client("manager", SECRET)
                .client("unlisted", SECRET)
                .frontend_client("shop", SECRET)
                .serve()
                .await?,
            aidbox: Aidbox::new()
                .clock(clock)
                .jwt_client("nurse", SECRET, ["system/*.read"])
                .jwt_client("visitor", SECRET, [""; 0])
                .jwt_client("unlisted", SECRET, [""; 0])
                .client("opaque", SECRET)
                .client("opaque-unlisted", SECRET)
                .expires_in(Duration::from_secs(3600))
                .serve()
                .await?,
        })
    }

    fn url(&self, system: System) -> &str {
        match system {
            System::ClickView => self.clickview.url(),
            System::Wicked => self.wicked.url(),
            System::Tarkov => self.tarkov.url(),
            System::Oro => self.oro.url(),
            System::Aidbox => self.aidbox.url(),
        }
    }

    /// Asks for a token over the wire.
    pub(super) async fn token(&self, ask: &Ask) -> Result<String, Error> {
        let url = format!("{}{}", self.url(ask.system), ask.path);
        let reply = wire::call("POST", &url, &ask.headers, &ask.body).await?;
        let answer: Value = serde_json::from_str(&reply.body)?;
        let token = answer.get("access_token").and_then(Value::as_str);
        Ok(token.ok_or_else(|| format!("{:?}: {} {}", ask.system, reply.status, reply.body))?.to_owned())
    }

    /// What a system would sign for a client that asks as in the table, to be changed.
    pub(super) fn signed(&self, system: System, client: &str) -> Option<TokenBuilder> {
        match system {
            System::ClickView => {
                let token = self.clickview.token(client).claim("scope", vec!["smartembed.viewkey"]);
                Some(token.claim("aud", "integrations"))
            }
            System::Wicked => None,
            System::Tarkov => Some(self.tarkov.token(client)),
            System::Oro => Some(self.oro.token(client)),
            System::Aidbox => Some(self.aidbox.token(client).claim("aud", API)),
        }
    }

    /// Forgets a token, where that can be.
    pub(super) fn revoke(&self, system: System, token: &str) {
        match system {
            System::ClickView => self.clickview.revoke(token),
            System::Wicked => self.wicked.revoke(token),
            System::Aidbox => self.aidbox.end_session(token),
            System::Tarkov | System::Oro => {}
        }
    }

    /// Answers nothing from now on, or works again.
    pub(super) fn set_down(&self, system: System, is_down: bool) {
        macro_rules! set_down {
            ($served:expr) => {
                if is_down { $served.go_down() } else { $served.come_back() }
            };
        }
        match system {
            System::ClickView => set_down!(self.clickview),
            System::Wicked => set_down!(self.wicked),
            System::Tarkov => set_down!(self.tarkov),
            System::Oro => set_down!(self.oro),
            System::Aidbox => set_down!(self.aidbox),
        }
    }

    /// Has another key from now on, where there is a rotation, and withdraws the old one.
    pub(super) fn rotate(&self, system: System) {
        match system {
            System::ClickView => {
                self.clickview.rotate_key();
                self.clickview.retire_keys();
            }
            System::Tarkov => self.tarkov.rotate_key(),
            System::Aidbox => self.aidbox.rotate_key(),
            System::Wicked | System::Oro => {}
        }
    }
}

impl Ask {
    /// Everything in a form.
    pub(super) fn form(system: System, path: &'static str, client: &str, more: &str) -> Self {
        let body = format!("grant_type=client_credentials&client_id={client}&client_secret={SECRET}{more}");
        Self { system, how: "form", path, headers: vec![FORM.to_owned()], body }
    }

    /// The credentials by Basic, the rest in a form.
    pub(super) fn basic(system: System, path: &'static str, client: &str, more: &str) -> Self {
        let credentials = STANDARD.encode(format!("{client}:{SECRET}"));
        let headers = vec![FORM.to_owned(), format!("Authorization: Basic {credentials}")];
        Self {
            system,
            how: "Basic, form",
            path,
            headers,
            body: format!("grant_type=client_credentials{more}"),
        }
    }

    /// Everything in JSON.
    pub(super) fn json(system: System, path: &'static str, client: &str, more: Value) -> Self {
        let mut body =
            json!({"grant_type": "client_credentials", "client_id": client, "client_secret": SECRET});
        if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
            body.extend(more);
        }
        let headers = vec!["Content-Type: application/json".to_owned()];
        Self { system, how: "JSON", path, headers, body: body.to_string() }
    }
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
