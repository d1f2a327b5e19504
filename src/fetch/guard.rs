//! Which URLs keys may be fetched from.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use url::{Host, Url};

use super::FetchRequest;
use super::address::Reach;

/// A URL that keys may be fetched from: https, or http to this very machine where that was asked for.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct KeyUrl {
    url: Url,
    supplied: bool,
}

/// Why a URL is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forbidden {
    NotAUrl,
    NotHttps,
    NotLoopback,
    Credentials,
    Fragment,
    Address,
    NotGlobal,
}

impl KeyUrl {
    /// One that the operator wrote. `allow_http` allows `http://` to a loopback address and nothing else.
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
        if address(&host).is_some_and(|ip| Reach::of(ip) == Reach::Never) {
            return Err(Forbidden::Address);
        }
        Ok(Self { url, supplied: false })
    }

    /// One that the document of `issuer` names. Another host than the issuer's must be one that everybody can reach, or
    /// this machine with `allow_http`.
    pub(crate) fn supplied(text: &str, allow_http: bool, issuer: &str) -> Result<Self, Forbidden> {
        let Self { url, .. } = Self::parse(text, allow_http)?;
        let issuer = Url::parse(issuer).map_err(|_| Forbidden::NotAUrl)?;
        let host = url.host().ok_or(Forbidden::NotAUrl)?;
        if issuer.host().as_ref() == Some(&host) || (allow_http && is_loopback(&host)) {
            return Ok(Self { url, supplied: false });
        }
        let is_global = match address(&host) {
            Some(ip) => Reach::of(ip) == Reach::Global,
            // Where the name leads to is looked at when it is resolved.
            None => !is_local_name(&host),
        };
        if is_global { Ok(Self { url, supplied: true }) } else { Err(Forbidden::NotGlobal) }
    }

    pub(crate) fn as_str(&self) -> &str {
        self.url.as_str()
    }

    pub(crate) fn request(&self, accept: &'static str) -> FetchRequest {
        let request = FetchRequest::new(self.url.as_str(), accept);
        if self.supplied { request.supplied() } else { request }
    }

    #[cfg(feature = "reqwest")]
    pub(super) fn origin(&self) -> url::Origin {
        self.url.origin()
    }
}

impl fmt::Debug for KeyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str())
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
            Self::Address => {
                "is an address that no keys come from (link-local, the cloud's own, multicast, unspecified); write another host"
            }
            Self::NotGlobal => {
                "leads to a host that is not the issuer's and not on the internet; if it is meant, configure it with Keys::jwks_url (jwks in a settings file)"
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

/// Names for this machine (RFC 6761 §6.3).
fn is_local_name(host: &Host<&str>) -> bool {
    let Host::Domain(name) = host else { return false };
    name.trim_end_matches('.').rsplit('.').next() == Some("localhost")
}

fn address(host: &Host<&str>) -> Option<IpAddr> {
    match host {
        Host::Domain(_) => None,
        Host::Ipv4(ip) => Some(IpAddr::V4(*ip)),
        Host::Ipv6(ip) => Some(IpAddr::V6(*ip)),
    }
}

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
            ("https://169.254.169.254/latest", Forbidden::Address),
            // The same address, as browsers also read it.
            ("https://2852039166/latest", Forbidden::Address),
            ("https://0xa9.0xfe.0xa9.0xfe/", Forbidden::Address),
            ("https://[::ffff:169.254.169.254]/", Forbidden::Address),
            ("https://[fe80::1]/", Forbidden::Address),
            ("https://[fd00:ec2::254]/", Forbidden::Address),
            ("https://[::169.254.169.254]/", Forbidden::Address),
            ("https://[64:ff9b::a9fe:a9fe]/", Forbidden::Address),
            ("https://[2002:a9fe:a9fe::]/", Forbidden::Address),
            ("https://168.63.129.16/", Forbidden::Address),
            ("https://100.100.100.200/", Forbidden::Address),
            ("https://0/", Forbidden::Address),
            ("https://[::]/", Forbidden::Address),
            ("https://224.0.0.1/", Forbidden::Address),
            ("https://255.255.255.255/", Forbidden::Address),
            ("https://[ff02::1]/", Forbidden::Address),
        ] {
            assert_eq!(KeyUrl::parse(url, true), Err(why), "{url}");
        }
    }

    const ISSUER: &str = "https://id.example.com/tenant";

    fn supplied(url: &str, allow_http: bool) -> Result<bool, Forbidden> {
        KeyUrl::supplied(url, allow_http, ISSUER).map(|url| url.supplied)
    }

    #[test]
    fn a_document_names_the_internet_or_its_own_host() {
        for (url, is_another) in [
            ("https://id.example.com/jwks", false),
            ("https://ID.example.com:8443/jwks", false),
            ("https://keys.example.com/jwks", true),
            ("https://localhost.example.com/jwks", true),
            ("https://8.8.8.8/jwks", true),
            ("https://134744072/jwks", true),
            ("https://[2606:4700::1]/jwks", true),
            ("https://[::ffff:8.8.8.8]/jwks", true),
            ("https://[64:ff9b::8.8.8.8]/jwks", true),
        ] {
            assert_eq!(supplied(url, false), Ok(is_another), "{url}");
            assert_eq!(supplied(url, true), Ok(is_another), "{url}");
        }
        for url in [
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://127.1/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://127\u{3002}0\u{3002}0\u{3002}1/",
            "https://%31%32%37.1/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::127.0.0.1]/",
            "https://[64:ff9b::127.0.0.1]/",
            "https://[64:ff9b:1::8.8.8.8]/",
            "https://[2002:7f00:1::]/",
            "https://[2002:808:808::]/",
            "https://localhost/",
            "https://localhost./",
            "https://LOCALHOST/",
            "https://keys.localhost/",
            "https://10.0.0.7/",
            "https://172.16.0.7/",
            "https://192.168.0.7/",
            "https://100.64.0.7/",
            "https://198.18.0.7/",
            "https://192.0.2.7/",
            "https://[fd12::7]/",
            "https://[fec0::7]/",
            "https://[2001:db8::7]/",
        ] {
            assert!(KeyUrl::parse(url, false).is_ok(), "{url}: the operator may");
            assert_eq!(supplied(url, false), Err(Forbidden::NotGlobal), "{url}");
            // The issuer's own host is the operator's.
            let own = KeyUrl::supplied(url, false, url);
            assert_eq!(own.map(|url| url.supplied), Ok(false), "{url}");
        }
        for url in
            ["https://169.254.169.254/", "https://[fe80::1]/", "https://100.100.100.200/", "https://0.0.0.0/"]
        {
            assert_eq!(supplied(url, false), Err(Forbidden::Address), "{url}");
            assert_eq!(supplied(url, true), Err(Forbidden::Address), "{url}");
            assert_eq!(KeyUrl::supplied(url, true, url), Err(Forbidden::Address), "{url}");
        }
    }

    #[test]
    fn with_http_allowed_a_document_names_this_machine_too() {
        for url in ["http://127.0.0.1:1/", "http://[::1]:1/", "http://localhost:1/", "http://2130706433:1/"] {
            assert_eq!(supplied(url, true), Ok(false), "{url}");
            assert_eq!(supplied(url, false), Err(Forbidden::NotHttps), "{url}");
            let https = url.replace("http:", "https:");
            assert_eq!(supplied(&https, true), Ok(false), "{https}");
            assert_eq!(supplied(&https, false), Err(Forbidden::NotGlobal), "{https}");
        }
        assert_eq!(supplied("http://10.0.0.7/", true), Err(Forbidden::NotLoopback));
        for url in ["https://10.0.0.7/", "https://[fd12::7]/", "https://keys.localhost/"] {
            assert_eq!(supplied(url, true), Err(Forbidden::NotGlobal), "{url}");
        }
    }
}
