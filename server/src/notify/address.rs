//! Where a webhook is.

use http::Uri;

/// The address of a receiver. Private addresses are allowed: who runs this service runs receivers beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub(super) tls: bool,
    /// Name or address, without the brackets of an IPv6 one.
    pub(super) host: String,
    pub(super) port: u16,
    /// As the Host header says it.
    pub(super) authority: String,
    /// Path and query.
    pub(super) target: String,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// What is not right about it, without a word of it: it may be a secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|_| "is no URL, such as https://hooks.example.com/storyflag".to_owned())?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err("begins with neither http:// nor https://".to_owned()),
        };
        let authority = uri.authority().ok_or_else(|| "names no host".to_owned())?;
        if authority.as_str().contains('@') {
            return Err("names a user: what is sent is signed, and nobody logs in with it".to_owned());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || authority.as_str().ends_with(':') {
            return Err("names no host, or no port behind its colon".to_owned());
        }
        Ok(Self {
            tls,
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
            target: uri.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let parts = |text: &str| {
            let Address { tls, host, port, target, .. } = Address::parse(text).unwrap();
            (tls, host, port, target)
        };
        assert_eq!(parts("http://10.0.0.7:9000"), (false, "10.0.0.7".to_owned(), 9000, "/".to_owned()));
        assert_eq!(parts("https://[::1]/a?b=c"), (true, "::1".to_owned(), 443, "/a?b=c".to_owned()));
    }

    #[test]
    fn what_is_none_is_refused_without_being_repeated() {
        for text in [
            "",
            "hooks.example.com/x",
            "ftp://secret",
            "file:///etc/secret",
            "http://secret:secret@a/",
            "http:///x",
            "http://a:/x",
            "http://a b/",
        ] {
            let why = Address::parse(text).unwrap_err();
            assert!(!why.contains("secret"), "{text}: {why}");
        }
    }
}
