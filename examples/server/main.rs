//! A protected API.
//!
//! `cargo run --example server` starts it together with an authorization server of its own, and prints what to try.
//! `cargo run --example server -- --settings FILE` protects the routes of a settings file.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to people")]

mod api;
mod demo;

use std::net::SocketAddr;
use std::process::ExitCode;

use axum::Router;
use tokio::net::TcpListener;
use tower_bearer::settings::Settings;

type Error = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        [] => demo::run().await,
        ["--settings", file] => from_settings(file).await,
        _ => Err("usage: server [--settings FILE]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

async fn from_settings(file: &str) -> Result<(), Error> {
    let settings = Settings::read(file)?;
    let address = settings.listen()?;
    let app = api::protected(settings.resource_server()?, &settings.routes()?)?;
    let listener = bind(address).await?;
    ready(&listener)?;
    serve(listener, app).await
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address)
        .await
        .map_err(|error| format!("listen: {address} cannot be used ({error}); write another address").into())
}

/// The first line of standard output, for whoever waits for it.
fn ready(listener: &TcpListener) -> Result<(), Error> {
    println!("READY http://{}", listener.local_addr()?);
    Ok(())
}

async fn serve(listener: TcpListener, app: Router) -> Result<(), Error> {
    Ok(axum::serve(listener, app).with_graceful_shutdown(stopped()).await?)
}

async fn stopped() {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupted => {}
                _ = terminated.recv() => {}
            }
            return;
        }
    }
    let _ = interrupted.await;
}
