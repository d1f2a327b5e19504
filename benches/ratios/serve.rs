//! Whole servers on loopback, with a client of hyper's and of tonic's in another thread: requests per second, and the
//! server's processor time for each.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use cpu_time::ThreadTime;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::TcpListenerStream;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::util::MapRequestLayer;
use tower_bearer::{BearerAuthLayer, MethodAccess, Token};

use crate::Effort;
use crate::common::measure::{On, as_f64, median, nanoseconds};
use crate::common::requests::server;
use crate::common::tokens::{SCOPE, Signer};
use crate::report::{Goal, Report};

/// A server keeps the places in memory that it got, for better or worse: so many times new ones are started.
pub(crate) const SITTINGS: usize = 4;

/// Connections, each with one request at a time.
const CONNECTIONS: usize = 16;

pub(crate) fn rows(effort: Effort<'_>, report: &mut Report) {
    let signer = Signer::new("RS256");
    let token = signer.samples(1).remove(0).token;
    let auth = || BearerAuthLayer::new(server(&signer).build().expect("a server"));

    let app = || Router::new().route("/orders", get(handler));
    let serve = |app: Router| {
        Server::start(|listener| async move { axum::serve(listener, app).await.expect("it serves") })
    };
    let servers = || {
        let noop = app().layer(MapRequestLayer::new(|request| request));
        [serve(noop), serve(app().layer(auth().scopes([SCOPE])))]
    };
    compare("axum", servers, effort, &token, report, |address, token| Box::pin(http1(address, token)));

    let rules = MethodAccess::deny().method("/grpc.health.v1.Health/Check", [SCOPE]);
    let health = || tonic_health::server::health_reporter().1;
    let servers = || {
        let noop = Server::start(move |listener| async move {
            let mut server =
                tonic::transport::Server::builder().layer(MapRequestLayer::new(|request| request));
            let served = server.add_service(health()).serve_with_incoming(TcpListenerStream::new(listener));
            served.await.expect("it serves");
        });
        let auth = auth().methods(rules.clone());
        let layer = Server::start(move |listener| async move {
            let mut server = tonic::transport::Server::builder().layer(auth);
            let served = server.add_service(health()).serve_with_incoming(TcpListenerStream::new(listener));
            served.await.expect("it serves");
        });
        [noop, layer]
    };
    compare("tonic", servers, effort, &token, report, |address, token| Box::pin(unary(address, token)));
}

async fn handler(token: Option<axum::Extension<Token>>) -> &'static str {
    if token.is_some_and(|token| token.client_id().is_none()) { "nobody" } else { "orders" }
}

type Client = Pin<Box<dyn Future<Output = Box<dyn Caller>>>>;

/// One connection.
trait Caller {
    fn call(&mut self) -> Pin<Box<dyn Future<Output = ()> + '_>>;
}

fn compare(
    name: &str,
    servers: impl Fn() -> [Server; 2],
    effort: Effort<'_>,
    token: &str,
    report: &mut Report,
    connect: impl Fn(SocketAddr, String) -> Client,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let sitting = |_| {
        let (servers, mut clients) = (servers(), [Vec::new(), Vec::new()]);
        runtime.block_on(async {
            for (server, clients) in servers.iter().zip(&mut clients) {
                for _ in 0..CONNECTIONS {
                    clients.push(connect(server.address, token.to_owned()).await);
                }
            }
        });
        let mut turn =
            |place: usize| runtime.block_on(drive(&servers[place], &mut clients[place], effort.serve));
        let mut first = 0;
        effort.machine.rounds(effort.wanted, On::TwoThreads, || {
            // Now the one first, now the other.
            first = 1 - first;
            let (one, other) = (turn(first), turn(1 - first));
            if first == 0 { [one, other] } else { [other, one] }
        })
    };
    let rounds: Vec<_> = (0..effort.sittings).flat_map(sitting).collect();
    let rate = median(rounds.iter().map(|[noop, layer]| layer.0 / noop.0).collect());
    let cost = median(rounds.iter().map(|[noop, layer]| (layer.1 - noop.1) / 1e3).collect());
    report.row(format!("{name}: requests per second, known token / no-op layer"), rate, Goal::AtLeast(0.97));
    report.row(format!("{name}: more server time for each request, µs"), cost, Goal::AtMost(0.35));
}

/// Requests per second, and the server's nanoseconds for each.
async fn drive(server: &Server, clients: &mut [Box<dyn Caller>], turn: Duration) -> (f64, f64) {
    let before = server.processor_time().await;
    let start = Instant::now();
    let run = async |client: &mut Box<dyn Caller>| {
        let mut calls = 0;
        while start.elapsed() < turn {
            client.call().await;
            calls += 1;
        }
        calls
    };
    let calls: usize = futures_util::future::join_all(clients.iter_mut().map(run)).await.into_iter().sum();
    let took = start.elapsed();
    let used = server.processor_time().await - before;
    (as_f64(calls) / took.as_secs_f64(), nanoseconds(used) / as_f64(calls))
}

/// A server with a thread of its own.
struct Server {
    address: SocketAddr,
    ask: mpsc::UnboundedSender<oneshot::Sender<Duration>>,
}

impl Server {
    fn start<F: Future<Output = ()>>(serve: impl FnOnce(TcpListener) -> F + Send + 'static) -> Self {
        let (ask, mut asked) = mpsc::unbounded_channel::<oneshot::Sender<Duration>>();
        let (tell, told) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                tell.send(listener.local_addr().expect("an address")).expect("somebody listens");
                let answer = async {
                    while let Some(asks) = asked.recv().await {
                        let _ = asks.send(ThreadTime::now().as_duration());
                    }
                };
                tokio::select! { () = serve(listener) => {}, () = answer => {} }
            });
        });
        Self { address: told.recv().expect("it serves"), ask }
    }

    async fn processor_time(&self) -> Duration {
        let (asks, answer) = oneshot::channel();
        self.ask.send(asks).expect("it serves");
        answer.await.expect("it serves")
    }
}

struct Http1 {
    sender: hyper::client::conn::http1::SendRequest<Empty<Bytes>>,
    authorization: http::HeaderValue,
}

async fn http1(address: SocketAddr, token: String) -> Box<dyn Caller> {
    let stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    let (sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
    tokio::spawn(connection);
    Box::new(Http1 { sender, authorization: format!("Bearer {token}").parse().expect("a header") })
}

impl Caller for Http1 {
    fn call(&mut self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(async {
            let request = Request::get("/orders")
                .header("host", "api.example.com")
                .header("authorization", self.authorization.clone())
                .body(Empty::new())
                .expect("a request");
            self.sender.ready().await.expect("a connection");
            let response = self.sender.send_request(request).await.expect("an answer");
            assert_eq!(response.status(), 200);
            response.into_body().collect().await.expect("a body");
        })
    }
}

struct Unary {
    client: HealthClient<tonic::transport::Channel>,
    authorization: tonic::metadata::AsciiMetadataValue,
}

async fn unary(address: SocketAddr, token: String) -> Box<dyn Caller> {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let client = HealthClient::new(endpoint.connect().await.expect("a connection"));
    Box::new(Unary { client, authorization: format!("Bearer {token}").parse().expect("metadata") })
}

impl Caller for Unary {
    fn call(&mut self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(async {
            let mut request = tonic::Request::new(HealthCheckRequest::default());
            request.metadata_mut().insert("authorization", self.authorization.clone());
            self.client.check(request).await.expect("it serves");
        })
    }
}
