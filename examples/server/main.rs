//! A protected API.
//!
//! `cargo run --example server` starts it together with an authorization server of its own, and prints what to try.
//! `cargo run --example server -- --settings FILE` protects the routes of a settings file.

#![expect(clippy::print_stderr, reason = "a program talks to people")]

mod api;
mod demo;

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use axum::Router;
use tokio::net::TcpListener;
use tower_bearer::settings::Settings;

type Error = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let done = match arguments.as_slice() {
        [] => demo::run().await,
        [option, file] if option == "--settings" => from_settings(file.as_ref()).await,
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

async fn from_settings(file: &Path) -> Result<(), Error> {
    let settings = Settings::read(file)?;
    let address = settings.listen()?;
    let app = api::protected(settings.resource_server()?, &settings.routes()?)?;
    serve(bind(address).await?, app, "").await
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address)
        .await
        .map_err(|error| format!("listen: {address} cannot be used ({error}); write another address").into())
}

/// Serves until it is stopped. The first line of standard output is for whoever waits for it; by then a signal to
/// stop is heard.
async fn serve(listener: TcpListener, app: Router, instructions: &str) -> Result<(), Error> {
    let stopped = stopped()?;
    // Whoever has read the first line may close the pipe.
    let mut output = std::io::stdout();
    let _ = writeln!(output, "READY http://{}", listener.local_addr()?);
    let _ = output.write_all(instructions.as_bytes());
    Ok(axum::serve(listener, app).with_graceful_shutdown(stopped).await?)
}

/// Ctrl-C, or SIGTERM where there is one.
#[cfg(unix)]
fn stopped() -> Result<impl Future<Output = ()>, Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupted, mut terminated) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn stopped() -> Result<impl Future<Output = ()>, Error> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
