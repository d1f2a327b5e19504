//! Kubernetes, service accounts.
//!
//! A pod can have a token for an audience of ours: a projected volume with `serviceAccountToken` and `audience`. The
//! profile is [`Profile::kubernetes`]. The client is the service account.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use tower_bearer::{Issuer, Keys, Profile};
//!
//! let worker = "system:serviceaccount:shop:worker";
//! let issuer = Issuer::new("https://kubernetes.default.svc.cluster.local")
//!     .keys(Keys::jwks_url("https://kubernetes.default.svc/openid/v1/jwks"))
//!     .unlisted()   // no client can ask it for a token
//!     .audience("https://orders.example.com")
//!     .clients([worker])
//!     .grant(worker, ["orders:read"])
//!     .profile(Profile::kubernetes());
//! # use tower_bearer::{ResourceServer, testing::Idp};
//! # let idp = Idp::new("https://kubernetes.default.svc.cluster.local");
//! # let issuer = issuer.keys(Keys::jwks(idp.jwks()));
//! # let api = ResourceServer::builder("https://orders.example.com").issuer(issuer).build().unwrap();
//! # let token = idp.token("https://orders.example.com").without_header("typ").without_claim("client_id");
//! # let account: serde_json::Value =
//! #     serde_json::from_str(r#"{"namespace": "shop", "serviceaccount": {"name": "worker", "uid": "1"}}"#).unwrap();
//! # let token = token.claim("sub", worker).claim("kubernetes.io", account);
//! # let token = api.verify(&token.sign()).await.unwrap();
//! # assert!(token.client_id() == Some(worker) && token.has_scope("orders:read"));
//! # }
//! ```
//!
//! The key set is served by the API server, under the cluster's own authority and to whoever shows a token. In a pod:
//!
//! ```no_run
//! # #[cfg(feature = "reqwest")] {
//! use tower_bearer::{Issuer, ReqwestFetch};
//!
//! let folder = "/var/run/secrets/kubernetes.io/serviceaccount";
//! let cluster = ReqwestFetch::builder()
//!     .ca_pem(std::fs::read(format!("{folder}/ca.crt"))?)
//!     .bearer_file("https://kubernetes.default.svc", format!("{folder}/token"))
//!     .build()?;
//! # let issuer = Issuer::new("https://kubernetes.default.svc.cluster.local");
//! let issuer = issuer.fetch(cluster);
//! # let _ = issuer;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ```toml
//! resource = "https://orders.example.com"
//!
//! [[issuer]]
//! iss              = "https://kubernetes.default.svc.cluster.local"
//! jwks             = "https://kubernetes.default.svc/openid/v1/jwks"
//! ca_file          = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
//! fetch_token_file = "/var/run/secrets/kubernetes.io/serviceaccount/token"
//! profile          = "kubernetes"
//! clients          = ["system:serviceaccount:shop:worker"]
//!
//! [issuer.grants]
//! "system:serviceaccount:shop:worker" = ["orders:read"]
//! ```
//!
//! A token:
//!
//! ```json
//! { "alg": "RS256", "kid": "DHCPlp3f" }
//! ```
//! ```json
//! {
//!   "aud": ["https://orders.example.com"],
//!   "exp": 1800003607,
//!   "iat": 1800000000,
//!   "nbf": 1800000000,
//!   "iss": "https://kubernetes.default.svc.cluster.local",
//!   "jti": "aed34954-b33a-4142-b1ec-389d6bbb4936",
//!   "sub": "system:serviceaccount:shop:worker",
//!   "kubernetes.io": {
//!     "namespace": "shop",
//!     "pod": { "name": "worker-7f9c", "uid": "5e0bd49b-f040-43b0-99b7-22765a53f7f3" },
//!     "serviceaccount": { "name": "worker", "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798" }
//!   }
//! }
//! ```
//!
//! # What to watch for
//!
//! - **The audience proves nothing.** Whoever can start a pod, or ask for a token for an account, gets one for any audience.
//!   List the accounts that may call.
//! - `iss` is the API server's `--service-account-issuer`, and each cluster's own. On a managed cluster it is a public URL with
//!   discovery behind it; leave [`Keys::jwks_url`] and the private authority out then.
//! - Inside, the discovery document often names an address of the API server, which a document may not send us to. Name the
//!   key set yourself, as above.
//! - The endpoint asks for the role `system:service-account-issuer-discovery`, which service accounts have by default.
//! - Never accept the API server's own audience: the token that every pod has could then be used here, and we could use it
//!   there.
//! - A token in a secret, of the old kind, has no `exp` and no `aud`, and is refused.
//! - The API server refuses a token as soon as its pod is gone. We do not ask it: the token is good until `exp`. Have them live
//!   short.
//!
//! [`Profile::kubernetes`]: crate::Profile::kubernetes
//! [`Keys::jwks_url`]: crate::Keys::jwks_url
