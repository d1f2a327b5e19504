//! Which URLs keys may be fetched from.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// A URL that keys may be fetched from: https, or http to this very machine where that was asked for.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct KeyUrl(Url);

/// Why a URL is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forbidden {
    NotAUrl,
    NotHttps,
    NotLoopback,
    Credentials,
    Fragment,
    LinkLocal,
}

impl KeyUrl {
    /// `allow_http` allows `http://` to a loopback address and nothing else.
    pub(crate) fn parse(text: &str, allow_http: bool) -> Result<Self, Forbidden> {
        let url = Url::parse(text).map_err(|_| Forbidden::NotAUrl)?;
        let host = url.host().ok_or(Forbidden::NotAUrl)?;
        match url.scheme() {
            "https" => {}
            "http" if !allow_http => return Err(Forbidden::NotHttps),
            "http" if is_loopback(&host) => {}
            "http" => return Err(Forbidden::NotLoopback),
            _ => return Err(Forbidden::NotHttps),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Forbidden::Credentials);
        }
        if url.fragment().is_some() {
            return Err(Forbidden::Fragment);
        }
        if is_link_local(&host) {
            return Err(Forbidden::LinkLocal);
        }
        Ok(Self(url))
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }

    #[cfg(feature = "reqwest")]
    pub(super) fn origin(&self) -> url::Origin {
        self.0.origin()
    }
}

impl fmt::Debug for KeyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAUrl => "is not an absolute URL; write one such as \"https://id.example.com\"",
            Self::NotHttps => {
                "is not https; write https://, or allow http:// to this machine with dangerous_allow_http"
            }
            Self::NotLoopback => {
                "is http:// to another host than 127.0.0.0/8, [::1] or localhost; write https://"
            }
            Self::Credentials => "holds a user name or password; leave them out",
            Self::Fragment => "has a fragment; leave out the # and what follows",
            Self::LinkLocal => {
                "is a link-local address, where machines answer with credentials; write another host"
            }
        })
    }
}

impl std::error::Error for Forbidden {}

/// 127.0.0.0/8, ::1 and `localhost`. 0.0.0.0 is every interface, not this one.
fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => *ip == Ipv6Addr::LOCALHOST,
    }
}

/// Where clouds serve instance credentials: 169.254.0.0/16, fe80::/10, and fd00:ec2::254.
fn is_link_local(host: &Host<&str>) -> bool {
    let ip = match host {
        Host::Domain(_) => return false,
        Host::Ipv4(ip) => IpAddr::V4(*ip),
        Host::Ipv6(ip) => ip.to_ipv4_mapped().map_or(IpAddr::V6(*ip), IpAddr::V4),
    };
    match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip == Ipv4Addr::UNSPECIFIED,
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip == METADATA_V6,
    }
}

const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_anywhere_http_only_here_and_only_on_request() {
        for url in ["https://id.example.com", "https://10.0.0.7/jwks", "https://localhost/x?y=z"] {
            assert!(KeyUrl::parse(url, false).is_ok(), "{url}");
        }
        for url in ["http://127.0.0.1:8080/jwks", "http://127.9.9.9", "http://[::1]:1", "http://localhost"] {
            assert!(KeyUrl::parse(url, true).is_ok(), "{url}");
            assert_eq!(KeyUrl::parse(url, false), Err(Forbidden::NotHttps), "{url}");
        }
        for url in [
            "http://id.example.com",
            "http://0.0.0.0",
            "http://[::]",
            "http://10.0.0.7",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
        ] {
            assert_eq!(KeyUrl::parse(url, true), Err(Forbidden::NotLoopback), "{url}");
        }
        for (url, why) in [
            ("id.example.com", Forbidden::NotAUrl),
            ("", Forbidden::NotAUrl),
            ("file:///etc/passwd", Forbidden::NotAUrl),
            ("ftp://id.example.com", Forbidden::NotHttps),
            ("https://user@id.example.com", Forbidden::Credentials),
            ("https://:pw@id.example.com", Forbidden::Credentials),
            ("https://id.example.com/#x", Forbidden::Fragment),
            ("https://169.254.169.254/latest", Forbidden::LinkLocal),
            // The same address, as browsers also read it.
            ("https://2852039166/latest", Forbidden::LinkLocal),
            ("https://0xa9.0xfe.0xa9.0xfe/", Forbidden::LinkLocal),
            ("https://[::ffff:169.254.169.254]/", Forbidden::LinkLocal),
            ("https://[fe80::1]/", Forbidden::LinkLocal),
            ("https://[fd00:ec2::254]/", Forbidden::LinkLocal),
        ] {
            assert_eq!(KeyUrl::parse(url, true), Err(why), "{url}");
        }
    }
}
