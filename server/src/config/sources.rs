use clap::Args;

/// Where numbers come from that a plan asks for, beside what applications report.
#[derive(Debug, Clone, Default, Args)]
pub struct SourcesConfig {
    /// `http://HOST:PORT` of a Prometheus, for conditions such as `prometheus("...") > 3`. STORYFLAG_PROMETHEUS_URL; none
    #[arg(id = "prometheus", long = "prometheus", env = "STORYFLAG_PROMETHEUS_URL", value_name = "URL", hide_env_values = true,
        value_parser = address)]
    pub prometheus: Option<String>,
}

fn address(text: &str) -> Result<String, String> {
    let text = text.trim();
    let uri = text.parse::<http::Uri>().ok();
    let is_one =
        uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some() && uri.query().is_none());
    if is_one { Ok(text.to_owned()) } else { Err("it is no address; write for example http://prometheus:9090".to_owned()) }
}
