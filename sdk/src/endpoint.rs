//! The address of a service.

use std::fmt;

use hyper::Uri;

/// Where a service listens: `http://host[:port][/prefix]`, or `https://`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Whether to speak TLS.
    pub(crate) tls: bool,
    /// Name or address, without the brackets of an IPv6 one.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// As the Host header says it.
    pub(crate) authority: String,
    /// What stands before every path; no slash at its end.
    prefix: String,
}

/// A text that is no address of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressError {
    address: String,
    why: &'static str,
}

impl fmt::Display for AddressError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} is no address of a Storyflag service: {}", self.address, self.why)
    }
}

impl std::error::Error for AddressError {}

impl Endpoint {
    /// Reads an address, with or without a slash at its end.
    ///
    /// # Errors
    /// What is no such address, or asks for TLS where this build has none.
    pub(crate) fn parse(address: &str) -> Result<Self, AddressError> {
        let refused = |why| AddressError { address: address.to_owned(), why };
        let uri: Uri = address.trim().parse().map_err(|_| refused("it is no URL, such as http://localhost:8080"))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") if cfg!(feature = "tls") => true,
            Some("https") => return Err(refused("https needs the feature `tls` of the crate `storyflag`")),
            _ => return Err(refused("it begins with neither http:// nor https://")),
        };
        let authority = uri.authority().ok_or_else(|| refused("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(AddressError { address: "...@...".into(), why: "it carries a password; the SDK key is what proves who you are" });
        }
        if uri.query().is_some() {
            return Err(refused("it has a query"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(refused("it names no host"));
        }
        Ok(Self {
            tls,
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// The request target of one of the service's paths, which begins with a slash.
    pub(crate) fn target(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}{}", if self.tls { "https" } else { "http" }, self.authority, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_at_the_end_makes_no_difference() {
        for (address, target) in [
            ("http://flags:8080", "/sdk/v1/stream"),
            ("http://flags:8080/", "/sdk/v1/stream"),
            ("http://flags:8080/one/two", "/one/two/sdk/v1/stream"),
            ("http://flags:8080/one/two/", "/one/two/sdk/v1/stream"),
        ] {
            assert_eq!(Endpoint::parse(address).unwrap().target("/sdk/v1/stream"), target);
        }
    }

    #[test]
    fn hosts_and_ports() {
        let parts = |address: &str| Endpoint::parse(address).map(|endpoint| (endpoint.host, endpoint.port)).unwrap();
        assert_eq!(parts("http://localhost"), ("localhost".into(), 80));
        assert_eq!(parts("http://[::1]:9000/x"), ("::1".into(), 9000));
        #[cfg(feature = "tls")]
        assert_eq!(parts("https://flags.example.com"), ("flags.example.com".into(), 443));
    }

    #[test]
    fn other_texts_are_refused_and_say_why() {
        for (address, why) in [
            ("", "no URL"),
            ("localhost:8080", "neither http://"),
            ("/sdk", "neither http://"),
            ("ftp://flags", "neither http://"),
            ("http://", "no URL"),
            ("http://flags/?key=1", "a query"),
            ("http://a b/", "no URL"),
            ("http://user:secret@flags", "a password"),
        ] {
            let error = Endpoint::parse(address).unwrap_err().to_string();
            assert!(error.contains(why), "{address}: {error}");
            assert!(!error.contains("secret"));
        }
    }
}
