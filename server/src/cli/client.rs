//! The service over HTTP, for the commands of people: one request, one answer, and problems as sentences.

use std::{io::Read, time::Duration};

use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::{Agent, SendBody, http};

use super::{
    failure::{Failure, refusal},
    invocation,
};

/// Where the service is, who asks, and what about.
#[derive(Debug, Clone, Args)]
pub(super) struct Target {
    /// The service's address
    #[arg(
        long,
        global = true,
        env = "STORYFLAG_URL",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL",
        help_heading = "Service"
    )]
    url: String,
    /// A person's token: `storyflag token --role ...` makes one
    #[arg(long, global = true, env = "STORYFLAG_TOKEN", value_name = "TOKEN", hide_env_values = true, help_heading = "Service")]
    token: Option<String>,
    /// The project
    #[arg(long, global = true, env = "STORYFLAG_PROJECT", default_value = "default", value_name = "KEY", help_heading = "Service")]
    project: String,
    /// The environment
    #[arg(short, long, global = true, env = "STORYFLAG_ENVIRONMENT", value_name = "KEY", help_heading = "Service")]
    environment: Option<String>,
    /// Print the service's JSON as it came, for machines
    #[arg(long, global = true, help_heading = "Service")]
    pub(super) json: bool,
}

impl Target {
    /// The environment, if one was named.
    pub(super) fn environment(&self) -> Option<&str> {
        self.environment.as_deref().filter(|key| !key.is_empty())
    }

    /// The environment.
    ///
    /// # Errors
    /// When none was named: then what to type.
    pub(super) fn required_environment(&self) -> Result<&str, Failure> {
        let next = "which environment? Add -e staging (or development, production), or: export STORYFLAG_ENVIRONMENT=staging";
        self.environment().ok_or_else(|| Failure::usage(next))
    }

    /// The path of something in the project.
    pub(super) fn in_project(&self, rest: &[&str]) -> String {
        path_of(&[&["api", "v1", "projects", &self.project], rest].concat())
    }

    /// The path of something in the environment.
    ///
    /// # Errors
    /// When no environment was named.
    pub(super) fn in_environment(&self, rest: &[&str]) -> Result<String, Failure> {
        Ok(self.in_project(&[&["environments", self.required_environment()?], rest].concat()))
    }

    /// Where a path is, as a whole address.
    pub(super) fn address(&self, path: &str) -> String {
        format!("{}{path}", self.url.trim().trim_end_matches('/'))
    }

    /// `key in production`, for sentences.
    pub(super) fn place_of(&self, key: &str) -> String {
        format!("{key} in {}", self.environment().unwrap_or("every environment"))
    }

    pub(super) fn client(&self) -> Result<Client, Failure> {
        let missing = || {
            let call = invocation::shown();
            Failure::usage(format!(
                "a token is needed: export STORYFLAG_TOKEN=$({call} token --role admin), where the service's database is"
            ))
        };
        let token = self.token.as_deref().map(str::trim).filter(|token| !token.is_empty()).ok_or_else(missing)?;
        Ok(Client { keeps_problems: self.json, ..Client::new(&self.url, token)? })
    }
}

/// A path of segments, each as one segment whatever it holds.
fn path_of(segments: &[&str]) -> String {
    segments.iter().fold(String::new(), |path, segment| format!("{path}/{}", encoded(segment)))
}

fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

/// Query parameters, in order.
#[derive(Debug, Default, Clone)]
pub(super) struct Query(String);

impl Query {
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.0.push(if self.0.is_empty() { '?' } else { '&' });
        self.0.push_str(&format!("{name}={}", encoded(value)));
        self
    }

    pub(super) fn with_some(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    pub(super) fn with_flag(self, name: &str, is_set: bool) -> Self {
        if is_set { self.with(name, "true") } else { self }
    }
}

/// What the service answered when it did what was asked.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    /// The status, which tells whether something was created.
    pub(super) status: u16,
    /// The body as it came.
    pub(super) text: String,
}

impl Answer {
    /// What it says.
    ///
    /// # Errors
    /// When it says something else.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(&self.text).map_err(|error| Failure::refused(format!("the service's answer cannot be read: {error}")))
    }
}

/// Events as they come, or why there are none.
pub(super) enum Stream {
    Open(Box<dyn Read + Send>),
    /// `is_ours`: the service itself said so, and nothing between us and it.
    Refused {
        status: u16,
        failure: Failure,
        is_ours: bool,
    },
}

/// The service.
#[derive(Debug, Clone)]
pub(super) struct Client {
    agent: Agent,
    base: String,
    token: String,
    /// Whether failures carry the service's own JSON, too.
    keeps_problems: bool,
}

/// How long the service may take to answer. Lists are another matter: they are as long as they are.
const PATIENCE: Duration = Duration::from_secs(40);
const LIST_PATIENCE: Duration = Duration::from_secs(610);
/// For how long a stream of events may be silent.
const SILENCE: Duration = Duration::from_secs(20);
/// The largest answer that is read.
const LARGEST_ANSWER: u64 = 64 * 1024 * 1024;

impl Client {
    /// # Errors
    /// An address that is none.
    pub(super) fn new(base: &str, token: &str) -> Result<Self, Failure> {
        let base = base.trim().trim_end_matches('/');
        if !base.starts_with("http://") && !base.starts_with("https://") {
            return Err(Failure::usage(format!("STORYFLAG_URL is {base:?}, not an address such as http://127.0.0.1:8080")));
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(Duration::from_secs(10)))
            .user_agent(concat!("storyflag/", env!("CARGO_PKG_VERSION")));
        Ok(Self { agent: config.build().new_agent(), base: base.to_owned(), token: token.to_owned(), keeps_problems: false })
    }

    pub(super) fn get(&self, path: &str, query: &Query) -> Result<Answer, Failure> {
        self.run(self.request("GET", path, query), SendBody::none(), PATIENCE)
    }

    /// The same as a document of this media type.
    pub(super) fn get_document(&self, path: &str, media_type: &str) -> Result<Answer, Failure> {
        self.run(self.request("GET", path, &Query::default()).header("accept", media_type), SendBody::none(), PATIENCE)
    }

    /// A write without a body.
    pub(super) fn delete(&self, path: &str, query: &Query) -> Result<Answer, Failure> {
        self.run(self.request("DELETE", path, query), SendBody::none(), PATIENCE)
    }

    /// What is there; none if nothing is.
    pub(super) fn find(&self, path: &str) -> Result<Option<Answer>, Failure> {
        let response = self.response(self.request("GET", path, &Query::default()), SendBody::none(), PATIENCE)?;
        if response.status() == http::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.answer(response).map(Some)
    }

    /// A stream of events, those with an id after `after`. It may last for ever, but not be silent for long.
    pub(super) fn events(&self, path: &str, after: u64) -> Result<Stream, Failure> {
        let request = self.request("GET", path, &Query::default()).header("accept", "text/event-stream").header("last-event-id", after);
        let request = request.body(()).map_err(|error| unusable(&error))?;
        let request = self.agent.configure_request(request).timeout_recv_response(Some(SILENCE)).timeout_per_read(Some(SILENCE)).build();
        let mut response = self.agent.run(request).map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(Stream::Open(Box::new(response.into_body().into_reader())));
        }
        let text = response.body_mut().with_config().limit(LARGEST_ANSWER).lossy_utf8(true).read_to_string();
        let status = response.status().as_u16();
        let failure = refusal(status, &text.map_err(|error| self.unreachable(&error))?);
        let is_ours = !failure.problem().is_empty();
        Ok(Stream::Refused { status, is_ours, failure: if self.keeps_problems { failure } else { failure.for_people() } })
    }

    /// The version of what is there; none if nothing is.
    pub(super) fn etag(&self, path: &str) -> Result<Option<String>, Failure> {
        let response = self.response(self.request("GET", path, &Query::default()), SendBody::none(), PATIENCE)?;
        if response.status() == http::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let tag = response.headers().get("etag").and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        self.answer(response)?;
        Ok(tag)
    }

    /// A write, or a question, with a JSON body.
    pub(super) fn send(&self, method: &str, path: &str, query: &Query, body: &Value) -> Result<Answer, Failure> {
        self.send_if(method, path, query, body, None)
    }

    /// The same if this version stands; none: whatever stands.
    pub(super) fn send_if(&self, method: &str, path: &str, query: &Query, body: &Value, stands: Option<&str>) -> Result<Answer, Failure> {
        let mut request = self.request(method, path, query).header("content-type", "application/json");
        if let Some(tag) = stands {
            request = request.header("if-match", tag);
        }
        let text = body.to_string();
        self.run(request, ureq::AsSendBody::as_body(&mut text.as_str()), PATIENCE)
    }

    /// A write of a document of this media type.
    pub(super) fn put_document(&self, path: &str, query: &Query, media_type: &str, text: &str) -> Result<Answer, Failure> {
        let request = self.request("PUT", path, query).header("content-type", media_type);
        self.run(request, ureq::AsSendBody::as_body(&mut &*text), PATIENCE)
    }

    /// A list of lines, sent as it is read; `size` in bytes if it is known.
    pub(super) fn send_lines(&self, path: &str, query: &Query, lines: &mut dyn Read, size: Option<u64>) -> Result<Answer, Failure> {
        // Asked first, so that a refusal arrives before the list is sent.
        let mut request =
            self.request("PUT", path, query).header("content-type", "text/plain; charset=utf-8").header("expect", "100-continue");
        if let Some(size) = size {
            request = request.header("content-length", size);
        }
        self.run(request, SendBody::from_reader(lines), LIST_PATIENCE)
    }

    /// Every page of a list, in order.
    pub(super) fn pages(&self, path: &str, query: &Query) -> Result<Vec<Answer>, Failure> {
        let mut pages = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.get(path, &query.clone().with("limit", "1000").with_some("after", after.as_deref()))?;
            let next = page.read::<Value>()?.get("next").and_then(Value::as_str).map(str::to_owned);
            pages.push(page);
            match next {
                Some(next) => after = Some(next),
                None => return Ok(pages),
            }
        }
    }

    fn request(&self, method: &str, path: &str, query: &Query) -> http::request::Builder {
        let uri = format!("{}{path}{}", self.base, query.0);
        http::Request::builder().method(method).uri(uri).header("authorization", format!("Bearer {}", self.token))
    }

    fn run(&self, request: http::request::Builder, body: SendBody<'_>, patience: Duration) -> Result<Answer, Failure> {
        self.answer(self.response(request, body, patience)?)
    }

    fn response(
        &self,
        request: http::request::Builder,
        body: SendBody<'_>,
        patience: Duration,
    ) -> Result<http::Response<ureq::Body>, Failure> {
        let request = request.body(body).map_err(|error| unusable(&error))?;
        let request = self.agent.configure_request(request).timeout_global(Some(patience)).build();
        self.agent.run(request).map_err(|error| self.unreachable(&error))
    }

    fn answer(&self, mut response: http::Response<ureq::Body>) -> Result<Answer, Failure> {
        let status = response.status().as_u16();
        let text = response.body_mut().with_config().limit(LARGEST_ANSWER).lossy_utf8(true).read_to_string();
        let text = text.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(Answer { status, text });
        }
        let failure = refusal(status, &text);
        Err(if self.keeps_problems { failure } else { failure.for_people() })
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        let base = &self.base;
        let refused = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
        match error {
            ureq::Error::Io(error) if refused(error) => {
                let call = invocation::shown();
                Failure::refused(format!("nobody listens at {base}: is the service running?"))
                    .or_next(format!("{call} serve, or STORYFLAG_URL with the address where it runs"))
            }
            ureq::Error::HostNotFound => Failure::refused(format!("no such host: {base}")).or_next("STORYFLAG_URL with the right address"),
            ureq::Error::Timeout(_) => Failure::refused(format!("{base} did not answer in time; what was asked for may have been done")),
            other => Failure::refused(format!("{base}: {other}")),
        }
    }
}

fn unusable(error: &http::Error) -> Failure {
    Failure::usage(format!("STORYFLAG_URL or STORYFLAG_TOKEN cannot be used: {error}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        target: Target,
    }

    fn target(args: &[&str]) -> Target {
        Line::parse_from([&["storyflag"], args].concat()).target
    }

    #[test]
    fn whatever_is_typed_as_a_key_stays_one_segment() {
        assert_eq!(target(&[]).in_project(&["flags", "a/b ü%"]), "/api/v1/projects/default/flags/a%2Fb%20%C3%BC%25");
        let path = target(&["--project", "shop", "-e", "staging"]).in_environment(&["cohorts"]).unwrap();
        assert_eq!(path, "/api/v1/projects/shop/environments/staging/cohorts");
    }

    #[test]
    fn a_missing_environment_says_what_to_type() {
        let Err(Failure::Usage(text)) = target(&[]).in_environment(&[]) else { panic!("there is none") };
        assert!(text.contains("-e staging"), "{text}");
    }

    #[test]
    fn queries_are_encoded() {
        let query =
            Query::default().with("reason", "50 % & more").with_flag("force", true).with_flag("dry_run", false).with_some("at", None);
        assert_eq!(query.0, "?reason=50%20%25%20%26%20more&force=true");
    }

    #[test]
    fn what_is_no_address_is_the_command_lines_fault() {
        for bad in ["", "localhost:8080", "ftp://a"] {
            assert!(matches!(Client::new(bad, "t"), Err(Failure::Usage(_))), "{bad}");
        }
    }

    #[test]
    fn a_service_that_is_away_says_how_to_start_it() {
        // Bound and dropped: nobody listens there.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let failure = Client::new(&format!("http://{address}"), "t").unwrap().get("/", &Query::default()).unwrap_err();
        assert!(failure.text().contains("nobody listens") && failure.text().contains(" serve"), "{}", failure.text());
    }
}
