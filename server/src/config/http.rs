use std::net::SocketAddr;

use clap::Args;

/// What the service listens to and puts up with.
#[derive(Debug, Clone, Args)]
pub struct HttpConfig {
    /// The address to listen at. STORYFLAG_LISTEN; 127.0.0.1:8080
    #[arg(id = "listen", long = "listen", env = "STORYFLAG_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Origins of browsers that may call the API, separated by commas, such as `https://flags.example.com`. STORYFLAG_CORS_ORIGINS; none
    #[arg(id = "cors-origins", long = "cors-origins", env = "STORYFLAG_CORS_ORIGINS", value_delimiter = ',', value_name = "ORIGIN",
        value_parser = origin)]
    pub cors_origins: Vec<String>,
    /// New streams that are let in a second; beyond it they are told to come back. STORYFLAG_STREAMS_PER_SECOND; 500 a core
    #[arg(id = "streams-per-second", long = "streams-per-second", env = "STORYFLAG_STREAMS_PER_SECOND", value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub streams_per_second: Option<u32>,
    /// Seconds within which clients are asked to reconnect elsewhere when the service stops. STORYFLAG_DRAIN_SECONDS; 5
    #[arg(id = "drain-seconds", long = "drain-seconds", env = "STORYFLAG_DRAIN_SECONDS", default_value_t = 5, value_name = "SECONDS")]
    pub drain_seconds: u32,
    /// Seconds for which a client may leave what it is sent unread; then its connection is cut. STORYFLAG_WRITE_SECONDS; 10
    #[arg(id = "write-seconds", long = "write-seconds", env = "STORYFLAG_WRITE_SECONDS", default_value_t = 10, value_name = "SECONDS",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub write_seconds: u32,
}

/// An origin (RFC 6454) as browsers send it: scheme, host, and a port if it is not the usual one.
fn origin(text: &str) -> Result<String, String> {
    let text = text.trim();
    let is_one = text.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some_and(|authority| text.ends_with(authority.as_str()))
    });
    if is_one { Ok(text.to_owned()) } else { Err(format!("{text:?} is no origin; write for example https://flags.example.com")) }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            cors_origins: Vec::new(),
            streams_per_second: None,
            drain_seconds: 5,
            write_seconds: 10,
        }
    }
}
