//! Names, resolved to addresses that may be connected to.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use ::reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::Reach;

/// A resolver that leaves out the addresses that are further than is allowed. The connection is made to what is left, so
/// that what was checked is what is connected to, whatever the name leads to a moment later.
pub(super) struct Guarded {
    furthest: Reach,
    proxy: Option<String>,
    names: Arc<dyn Resolve>,
}

/// A name led only to addresses that must not be connected to. It does not say which: that is the network's secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    host: String,
    furthest: Reach,
}

impl Guarded {
    /// By the system's resolver.
    pub(super) fn new(furthest: Reach) -> Self {
        Self { furthest, proxy: None, names: Arc::new(System) }
    }

    /// The way to the proxy is the operator's alone: it may be anywhere.
    pub(super) fn except(self, proxy: String) -> Self {
        Self { proxy: Some(proxy), ..self }
    }
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        if self.proxy.as_deref().is_some_and(|proxy| proxy.eq_ignore_ascii_case(name.as_str())) {
            return self.names.resolve(name);
        }
        let refused = Refused { host: name.as_str().to_owned(), furthest: self.furthest };
        let found = self.names.resolve(name);
        Box::pin(async move {
            let may_be_reached = |ip| Reach::of(ip) <= refused.furthest;
            let left: Vec<_> = found.await?.filter(|address| may_be_reached(address.ip())).collect();
            if left.is_empty() { Err(refused.into()) } else { Ok(Box::new(left.into_iter()) as Addrs) }
        })
    }
}

impl Refused {
    pub(super) fn cause_of<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(refused) = error.downcast_ref() {
                return Some(refused);
            }
            cause = error.source();
        }
        None
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} leads to no address that keys may be fetched from", self.host)?;
        match self.furthest {
            Reach::Global => f.write_str(
                "; a document named it, and it is not on the internet: if it is meant, configure it with Keys::jwks_url (jwks in a settings file)",
            ),
            _ => Ok(()),
        }
    }
}

impl StdError for Refused {}

struct System;

impl Resolve for System {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(found.collect::<Vec<_>>().into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use ::reqwest::Client;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::fetch::{Fetch, FetchError, FetchErrorKind, FetchRequest, ReqwestFetch};

    /// A name server of our own. Every answer of `rebinds.example` is another one.
    #[derive(Default)]
    struct Names(AtomicUsize);

    impl Resolve for Names {
        fn resolve(&self, name: Name) -> Resolving {
            if name.as_str() == "absent.example" {
                return Box::pin(async { Err("no such name".into()) });
            }
            let round = self.0.fetch_add(1, Ordering::Relaxed);
            let found: &[&str] = match name.as_str() {
                "loopback.example" => &["127.0.0.1"],
                "metadata.example" => &["169.254.169.254", "fd00:ec2::254"],
                "metadata-and-loopback.example" => &["169.254.169.254", "127.0.0.1"],
                "private.example" => &["10.0.0.7", "192.168.0.7", "fd12::7"],
                "mapped.example" => &["::ffff:10.0.0.7", "::ffff:127.0.0.1"],
                "public.example" => &["8.8.8.8", "2606:4700::1"],
                "public-and-private.example" => &["10.0.0.7", "8.8.8.8", "169.254.169.254", "::1"],
                "rebinds.example" if round == 0 => &["8.8.8.8"],
                "rebinds.example" => &["127.0.0.1"],
                _ => &[],
            };
            let found: Vec<_> = found.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect();
            Box::pin(async move { Ok(Box::new(found.into_iter()) as Addrs) })
        }
    }

    fn guarded(furthest: Reach) -> Guarded {
        Guarded { names: Arc::new(Names::default()), ..Guarded::new(furthest) }
    }

    async fn resolve(guarded: &Guarded, name: &str) -> Result<Vec<String>, String> {
        let found = guarded.resolve(name.parse().unwrap()).await;
        found.map(|found| found.map(|address| address.ip().to_string()).collect()).map_err(|e| e.to_string())
    }

    #[tokio::test]
    async fn addresses_that_are_further_than_allowed_are_left_out() {
        let (operator, supplied) = (guarded(Reach::Inside), guarded(Reach::Global));
        for (name, for_operator, for_document) in [
            ("public.example", &["8.8.8.8", "2606:4700::1"][..], &["8.8.8.8", "2606:4700::1"][..]),
            ("public-and-private.example", &["10.0.0.7", "8.8.8.8", "::1"], &["8.8.8.8"]),
            ("private.example", &["10.0.0.7", "192.168.0.7", "fd12::7"], &[]),
            ("mapped.example", &["::ffff:10.0.0.7", "::ffff:127.0.0.1"], &[]),
            ("loopback.example", &["127.0.0.1"], &[]),
            ("metadata-and-loopback.example", &["127.0.0.1"], &[]),
            ("metadata.example", &[], &[]),
        ] {
            for (guarded, expected) in [(&operator, for_operator), (&supplied, for_document)] {
                match resolve(guarded, name).await {
                    Ok(found) => assert_eq!(found, expected, "{name}"),
                    Err(why) => {
                        assert!(expected.is_empty(), "{name}: {why}");
                        assert!(why.starts_with(&format!("{name} leads to no address")), "{why}");
                        assert_eq!(
                            why.contains("Keys::jwks_url"),
                            guarded.furthest == Reach::Global,
                            "{why}"
                        );
                        assert!(!why.contains("169.254") && !why.contains("10.0"), "{why}");
                    }
                }
            }
        }
        let to_proxy = guarded(Reach::Global).except("Private.example".to_owned());
        assert_eq!(resolve(&to_proxy, "private.example").await.unwrap().len(), 3);
        assert!(resolve(&to_proxy, "loopback.example").await.is_err());
    }

    fn client(furthest: Reach) -> Client {
        let builder = Client::builder().no_proxy().dns_resolver(guarded(furthest));
        #[cfg(any(feature = "rustls", feature = "native-tls"))]
        let builder = builder.tls_certs_only([]);
        builder.build().unwrap()
    }

    #[tokio::test]
    async fn a_refused_name_is_a_failed_fetch_and_no_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        let server = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
                let _ = stream.read(&mut [0; 1024]).await;
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _ = stream.write_all(answer).await;
            }
        });
        let fetch = ReqwestFetch::with(client(Reach::Inside), client(Reach::Global), Vec::new());
        let get = async |name: &str, is_supplied: bool| {
            let request = FetchRequest::new(format!("http://{name}:{port}/"), "application/json");
            let request = if is_supplied { request.supplied() } else { request };
            fetch.fetch(request).await.map(|answer| answer.status().as_u16())
        };
        let refused = |result: Result<u16, FetchError>| {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), FetchErrorKind::Url, "{error:?}");
            StdError::source(&error).unwrap().to_string()
        };
        assert_eq!(get("loopback.example", false).await.unwrap(), 200);
        assert_eq!(get("metadata-and-loopback.example", false).await.unwrap(), 200);
        assert_eq!(connections.load(Ordering::Relaxed), 2);
        for (name, is_supplied) in [
            ("loopback.example", true),
            ("metadata-and-loopback.example", true),
            ("private.example", true),
            ("metadata.example", true),
            ("metadata.example", false),
        ] {
            assert!(refused(get(name, is_supplied).await).starts_with(name), "{name}");
        }
        assert_eq!(connections.load(Ordering::Relaxed), 2);
        // Nobody has refused this one.
        for is_supplied in [false, true] {
            assert_eq!(
                get("absent.example", is_supplied).await.unwrap_err().kind(),
                FetchErrorKind::Connection
            );
        }
        server.abort();
    }

    #[tokio::test]
    async fn a_name_that_leads_elsewhere_at_the_second_look_is_refused_at_the_second_look() {
        let guarded = guarded(Reach::Global);
        assert_eq!(resolve(&guarded, "rebinds.example").await.unwrap(), ["8.8.8.8"]);
        assert!(resolve(&guarded, "rebinds.example").await.is_err());
    }
}
