//! What an operator sees: metrics for Prometheus, and OpenTelemetry spans that say who calls.
//!
//! `cargo run --manifest-path examples/telemetry/Cargo.toml` serves on loopback, calls itself, and ends. It prints what
//! is in `expected.txt`, and fails if it is something else.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Request, StatusCode};
use axum::routing::get;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tower_bearer::testing::Idp;
use tower_bearer::{BearerAuthLayer, Metrics, ResourceServer, Token};
use tower_http::trace::TraceLayer;
use tracing::field::Empty;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

const API: &str = "https://api.example.com";

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let lines = tokio::time::timeout(Duration::from_secs(60), demonstrate()).await??;
    let shown = lines.join("\n") + "\n";
    print!("{shown}");
    if shown == include_str!("../expected.txt") { Ok(()) } else { Err("expected.txt says otherwise".into()) }
}

async fn demonstrate() -> Result<Vec<String>, Error> {
    // Both before the server is built: what happens while nobody listens is lost.
    let metrics = prometheus()?;
    let (provider, exporter) = opentelemetry();

    let (idp, down) = (Idp::new("https://id.example.com"), Idp::new("https://down.example.com"));
    down.go_down();
    let api = ResourceServer::builder(API)
        .issuer(idp.issuer().name("staff"))
        .issuer(down.issuer().name("partners"))
        .observer(Metrics::new())
        .build()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = axum::serve(listener, app(api, metrics)).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let serving = tokio::spawn(async { serving.await });

    let mut lines = vec!["== requests".to_owned()];
    let good = idp.token(API).claim("client_id", "robot").claim("sub", "user-7").scopes(["orders:read"]);
    for (what, token) in [
        ("a good token", Some(good.sign())),
        ("no token", None),
        ("an expired token", Some(good.clone().claim("exp", 1).sign())),
        ("a token without the scope", Some(good.clone().scopes(["mail"]).sign())),
        ("a token of an issuer that is down", Some(down.token(API).sign())),
    ] {
        let (status, _) = call(&format!("{url}/orders"), token).await?;
        lines.push(format!("{what}: {}", status.as_u16()));
    }

    lines.push("== counters and gauges of GET /metrics".to_owned());
    let (_, text) = call(&format!("{url}/metrics"), None).await?;
    // Histograms hold times, which are others on each run.
    let ours = text.lines().filter(|line| line.starts_with("tower_bearer_") && !line.contains("_seconds"));
    let mut ours: Vec<_> = ours.map(ToOwned::to_owned).collect();
    ours.sort();
    lines.append(&mut ours);

    // A span is exported when its response has been sent: first the server ends, then what is left is flushed.
    let _ = stop.send(());
    serving.await??;
    provider.force_flush()?;
    lines.push("== spans".to_owned());
    let mut spans = exporter.get_finished_spans()?;
    spans.sort_by_key(|span| span.start_time);
    lines.extend(spans.iter().flat_map(describe));
    provider.shutdown()?;
    Ok(lines)
}

fn app(api: ResourceServer, metrics: PrometheusHandle) -> Router {
    let auth = BearerAuthLayer::new(api).scopes(["orders:read"]);
    let orders = |token: Token| async move { format!("orders of {}", token.subject().unwrap_or("-")) };
    // The layer writes who calls into the current span, and only into fields that the span has declared.
    let trace = TraceLayer::new_for_http().make_span_with(|request: &Request<Body>| {
        let (method, path) = (request.method(), request.uri().path());
        tracing::info_span!("request", %method, path, client_id = Empty, sub = Empty, issuer = Empty)
    });
    Router::new()
        .route("/orders", get(orders))
        .layer(auth)
        // After the layer, so outside of it: the span must be open when the token is verified.
        .layer(trace)
        // Outside of both. Prometheus has no token: keep this path, or a port of its own, off the public network.
        .route(
            "/metrics",
            get(move || {
                let text = metrics.render();
                async { ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text) }
            }),
        )
}

/// Installs the recorder behind the `metrics` facade. Whoever holds the handle can render what it has recorded.
fn prometheus() -> Result<PrometheusHandle, Error> {
    let handle = PrometheusBuilder::new()
        // Without buckets the exporter writes quantiles, which cannot be added up over several servers.
        .set_buckets_for_metric(
            Matcher::Suffix("_seconds".to_owned()),
            &[0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 15.0],
        )?
        .install_recorder()?;
    // Histograms grow until somebody scrapes them, or this is called.
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

/// Sends spans to OpenTelemetry, here to memory; otherwise to a collector, with `with_batch_exporter`.
fn opentelemetry() -> (SdkTracerProvider, InMemorySpanExporter) {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    // Refusals are the client's affair and at debug level: at `info` the spans would not say why.
    let filter = Targets::new()
        .with_default(LevelFilter::INFO)
        .with_target("tower_bearer::rejection", LevelFilter::DEBUG)
        // tower-http's own events about each request say nothing that is not in the span.
        .with_target("tower_http", LevelFilter::OFF);
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("orders"));
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
    (provider, exporter)
}

/// One line for the span and who called, and one for each event in it. A token that lacks a scope is verified all the
/// same, so its client is there; nothing is of a token that was not.
fn describe(span: &SpanData) -> Vec<String> {
    let mut lines = vec![format!("{}{}", span.name, some(&span.attributes, &["client_id", "sub", "issuer"]))];
    for event in span.events.iter() {
        let attributes = some(&event.attributes, &["level", "target", "kind", "reason", "issuer"]);
        lines.push(format!("  {}{attributes}", event.name));
    }
    lines
}

fn some(attributes: &[KeyValue], wanted: &[&str]) -> String {
    let attributes = wanted.iter().flat_map(|key| attributes.iter().filter(|one| one.key.as_str() == *key));
    attributes.map(|one| format!(" {}={:?}", one.key, one.value.as_str())).collect()
}

async fn call(url: &str, token: Option<String>) -> Result<(StatusCode, String), Error> {
    let mut request = Request::get(url);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let response = client.request(request.body(Body::empty())?).await?;
    let status = response.status();
    let body = to_bytes(Body::new(response.into_body()), 1 << 20).await?;
    Ok((status, String::from_utf8(body.to_vec())?))
}
