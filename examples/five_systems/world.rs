//! The systems and the protected API on loopback, and one row of the table tried on them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::middleware::map_response;
use axum::response::Response;
use tower_bearer::testing::{Loopback, ManualClock, Serving};
use tower_bearer::{Rejection, RejectionKind};

use super::Error;
use super::rows::{But, Case, Expected, Row};
use super::systems::Systems;
use super::wire;

pub(super) struct World {
    systems: Systems,
    clock: ManualClock,
    api: Serving,
    /// What a log outside of the layer is told.
    refused: Arc<Mutex<Option<Rejection>>>,
}

/// What became of a row.
pub(super) struct Outcome {
    pub(super) expected: String,
    pub(super) got: String,
}

impl World {
    pub(super) async fn serve(systems: Systems, clock: ManualClock, routes: Router) -> Result<Self, Error> {
        let refused = Arc::new(Mutex::new(None));
        let log = Arc::clone(&refused);
        let note = move |response: Response| {
            *log.lock().unwrap_or_else(PoisonError::into_inner) = response.extensions().get().cloned();
            async { response }
        };
        let api = Loopback::bind().await?.serve(routes.layer(map_response(note)));
        Ok(Self { systems, clock, api, refused })
    }

    /// Asks for a token, has it accepted, and then does what the row says.
    pub(super) async fn run(&self, case: &Case, row: &Row) -> Result<Outcome, Error> {
        // So that no budget for unknown keys is used up by the row before.
        self.clock.advance(Duration::from_secs(60));
        let token = self.systems.token(&case.ask).await?;
        let accepted = self.accepted(case);
        let unharmed = self.get(case.route, &token).await?;
        if unharmed != accepted {
            let got = format!("{unharmed} for the token as it came");
            return Ok(Outcome { expected: accepted, got });
        }
        let got = match &row.but {
            But::Nothing => unharmed,
            But::Later(seconds) => {
                self.clock.advance(Duration::from_secs(*seconds));
                self.get(case.route, &token).await?
            }
            But::Revoked(seconds) => {
                self.systems.revoke(case.ask.system, &token);
                self.clock.advance(Duration::from_secs(*seconds));
                self.get(case.route, &token).await?
            }
            But::Down => {
                // One that is not known yet.
                let fresh = self.systems.token(&case.ask).await?;
                self.systems.set_down(case.ask.system, true);
                let got = self.get(case.route, &fresh).await;
                self.systems.set_down(case.ask.system, false);
                got?
            }
            But::To(route) => self.get(route, &token).await?,
            But::Changed(change) => {
                let token = self.systems.signed(case.system, case.client).ok_or("it signs nothing")?;
                // The change, and not what we make, is what is refused.
                let unchanged = self.get(case.route, &token.sign()).await?;
                if unchanged == accepted {
                    self.get(case.route, &change(token).sign()).await?
                } else {
                    unchanged
                }
            }
            But::Instead(other) => self.get(case.route, &other(&self.systems)).await?,
            But::Asked(ask) => self.get(case.route, &self.systems.token(ask).await?).await?,
            But::Rotated => self.rotated(case).await?,
            But::Withdrawn => {
                let new = self.rotated(case).await?;
                if new == accepted { self.get(case.route, &token).await? } else { new }
            }
        };
        let expected = match row.expected {
            Expected::Accepted => accepted,
            Expected::Refused(why) => refusal(401, why.name()),
            Expected::Forbidden => refusal(403, "insufficient_scope"),
            Expected::Unavailable => refusal(503, "unavailable"),
        };
        Ok(Outcome { expected, got })
    }

    /// What the API says to the first token by a new key.
    async fn rotated(&self, case: &Case) -> Result<String, Error> {
        self.systems.rotate(case.system);
        self.get(case.route, &self.systems.token(&case.ask).await?).await
    }

    /// What the API says to the client of a case.
    fn accepted(&self, case: &Case) -> String {
        format!("200 {} {} [{}]", case.system.name(), case.client, case.scopes)
    }

    /// Sends a token to the API.
    async fn get(&self, route: &str, token: &str) -> Result<String, Error> {
        let authorization = format!("Authorization: Bearer {token}");
        let reply = wire::call("GET", &format!("{}{route}", self.api.url()), &[authorization], "").await?;
        let rejection = self.refused.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(rejection) = rejection else {
            return Ok(self.named(&format!("{} {}", reply.status, reply.body)));
        };
        if rejection.kind() == RejectionKind::Unavailable {
            // It is nobody's fault but ours: no challenge, and when to come again.
            let (challenge, pause) = (reply.header("www-authenticate"), reply.header("retry-after"));
            return Ok(match (challenge, pause) {
                (None, Some(_)) => refusal(reply.status, "unavailable"),
                odd => format!("{} with {odd:?}", reply.status),
            });
        }
        // Outside of the layer it is known why; the challenge must say the same.
        let (error, why) = match rejection.token_error() {
            Some(why) => ("invalid_token", why.name()),
            None => ("insufficient_scope", "insufficient_scope"),
        };
        let said = format!("Bearer error=\"{error}\", error_description=\"{}\"", rejection.description());
        let challenge = reply.header("www-authenticate").unwrap_or_default();
        Ok(if challenge.starts_with(&said) {
            refusal(reply.status, why)
        } else {
            format!("{} with the challenge {challenge:?}, and not {said:?}", reply.status)
        })
    }

    /// Tarkov Database calls a client by its record; here it is called by the id that it asks with.
    fn named(&self, text: &str) -> String {
        let clients = [super::systems::READER, super::systems::EVERYTHING];
        clients
            .iter()
            .fold(text.to_owned(), |text, client| text.replace(self.systems.tarkov.record(client), client))
    }
}

fn refusal(status: u16, why: &str) -> String {
    format!("{status} {why}")
}
