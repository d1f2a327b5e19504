//! A real Redis, which a test starts on this machine where it is installed, and stops.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::settings::Folder;
use crate::support::{seconds, skip};

pub(crate) const PASSWORD: &str = "password-that-nobody-should-see";

/// A Redis of the test's own, on loopback. It keeps nothing on the disk.
pub(crate) struct Redis {
    child: Child,
    pub(crate) port: u16,
    folder: Folder,
    /// How its port is given: plain or with TLS.
    ways: Vec<String>,
}

impl Redis {
    /// `None` where there is no Redis.
    pub(crate) fn start() -> Option<Self> {
        Self::with(["--port", "{port}"])
    }

    /// `{port}` in these arguments is a free one.
    pub(crate) fn with(ways: impl IntoIterator<Item = impl Into<String>>) -> Option<Self> {
        let found = Command::new(program()).arg("--version").stdout(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            skip("redis", "redis-server is not installed");
            return None;
        }
        let number = STARTED.fetch_add(1, Ordering::SeqCst);
        let folder = Folder::new(&format!("redis-{number}"));
        let ways: Vec<_> = ways.into_iter().map(Into::into).collect();
        // Between the look for a free port and its use somebody else may take it.
        let started = (0..5).find_map(|_| {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            Some((spawn(&folder, port, &ways)?, port))
        });
        let (child, port) = started.expect("redis-server does not start");
        Some(Self { child, port, folder, ways })
    }

    /// `None` also where it was built without TLS.
    pub(crate) fn with_tls(ways: impl IntoIterator<Item = impl Into<String>>) -> Option<Self> {
        if let Ok(refused) = Command::new(program()).args(["--port", "0", "--tls-port", "1"]).output() {
            // There is no certificate, so that it ends in any case.
            let said = [refused.stdout, refused.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            if ["Bad directive", "Failed finding TLS support"].iter().any(|words| said.contains(words)) {
                skip("redis-tls", "redis-server was built without TLS");
                return None;
            }
        }
        Self::with(
            ["--port", "0", "--tls-port", "{port}"]
                .map(str::to_owned)
                .into_iter()
                .chain(ways.into_iter().map(Into::into)),
        )
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path("socket")
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://:{PASSWORD}@127.0.0.1:{}/0", self.port)
    }

    pub(crate) fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Without what it held.
    pub(crate) fn start_again(&mut self) {
        self.stop();
        self.child = spawn(&self.folder, self.port, &self.ways).expect("its port is free again");
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string(), "--no-auth-warning", "-a", PASSWORD])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub(crate) fn count(&self, command: &str, part: &str) -> usize {
        self.cli(&[command, &format!("{{tower-bearer:denylist}}:{part}")]).parse().unwrap()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}

static STARTED: AtomicUsize = AtomicUsize::new(0);

/// Another one to try, such as Valkey, is in a variable.
fn program() -> String {
    std::env::var("TOWER_BEARER_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned())
}

/// `None` if it has ended, as it does where the port is taken.
fn spawn(folder: &Folder, port: u16, ways: &[String]) -> Option<Child> {
    let mut child = Command::new(program())
        .args(["--bind", "127.0.0.1", "--requirepass", PASSWORD])
        .args(ways.iter().map(|argument| argument.replace("{port}", &port.to_string())))
        .args(["--save", "", "--appendonly", "no", "--dir"])
        .arg(folder.path(""))
        .arg("--unixsocket")
        .arg(folder.path("socket"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let patience = Instant::now() + seconds(10);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        assert!(Instant::now() < patience, "redis-server does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(child)
}
