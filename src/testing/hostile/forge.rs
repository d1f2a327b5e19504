//! The bench on which hostile tokens are made.

use std::borrow::Cow;

use serde_json::Value;

use super::HostileToken;
use crate::testing::TokenBuilder;

/// Hostile tokens, as they are made from a good one.
pub(super) struct Forge<'a> {
    pub(super) good: &'a TokenBuilder,
    tokens: Vec<HostileToken>,
}

impl<'a> Forge<'a> {
    pub(super) fn of(good: &'a TokenBuilder) -> Self {
        Self { good, tokens: Vec::new() }
    }

    pub(super) fn into_tokens(self) -> Vec<HostileToken> {
        self.tokens
    }

    pub(super) fn add(&mut self, name: impl Into<Cow<'static, str>>, token: String, why: &'static str) {
        self.tokens.push(HostileToken { name: name.into(), why, token });
    }

    /// The good token with a change, signed as the good one. A change that changes nothing is left out.
    pub(super) fn signed(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        change: impl FnOnce(TokenBuilder) -> TokenBuilder,
        why: &'static str,
    ) {
        let changed = change(self.good.clone());
        if changed.header_json() != self.good.header_json()
            || changed.claims_json() != self.good.claims_json()
        {
            self.add(name, changed.sign(), why);
        }
    }

    pub(super) fn header(
        &mut self,
        name: &'static str,
        member: &str,
        value: impl Into<Value>,
        why: &'static str,
    ) {
        self.signed(name, |token| token.header(member, value), why);
    }

    pub(super) fn claim(
        &mut self,
        name: &'static str,
        claim: &str,
        value: impl Into<Value>,
        why: &'static str,
    ) {
        self.signed(name, |token| token.claim(claim, value), why);
    }

    /// The header as text, changed and signed.
    pub(super) fn header_text(
        &mut self,
        name: &'static str,
        change: impl FnOnce(String) -> Vec<u8>,
        why: &'static str,
    ) {
        let token =
            self.good.sign_bytes(&change(self.good.header_json()), self.good.claims_json().as_bytes());
        self.add(name, token, why);
    }

    /// The payload as text, changed and signed.
    pub(super) fn payload_text(
        &mut self,
        name: &'static str,
        change: impl FnOnce(String) -> Vec<u8>,
        why: &'static str,
    ) {
        let token =
            self.good.sign_bytes(self.good.header_json().as_bytes(), &change(self.good.claims_json()));
        self.add(name, token, why);
    }
}

/// A JSON object with these members put before its own.
pub(super) fn with_member(json: &str, member: &str) -> Vec<u8> {
    json.replacen('{', &format!("{{{member},"), 1).into_bytes()
}

/// Header, payload and signature.
pub(super) fn segments(token: &str) -> [&str; 3] {
    let mut segments = token.split('.');
    [(); 3].map(|()| segments.next().expect("three segments"))
}
