//! The client: what an application holds and asks.

use std::{fmt, path::Path, sync::Arc};

use storyflag_evaluation::{Context, Ruleset, Value};

use crate::{
    builder::Builder,
    detail::{Detail, FlagValue, boolean, integer, number, text},
    disk_cache::{list_file, read_ruleset, with_lists},
    fixed,
    for_context::ForContext,
    outcomes::Outcomes,
    shared::Shared,
    status::{Changes, State, Status},
    task::Life,
};

/// Answers "is this on for this user?" from memory, and keeps what it knows up to date.
///
/// Cheap to clone; all clones are one client. When the last is dropped, its task says goodbye and ends;
/// [`Client::close`] waits for that. Asking never waits, locks or allocates, from asynchronous code as from threads that
/// have never heard of a runtime.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    endpoints: Arc<[String]>,
    /// None for a client without a task.
    life: Option<Arc<Life>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = &self.shared;
        formatter.debug_struct("Client").field("state", &shared.condition().state).field("applied", &shared.applied()).finish()
    }
}

/// A file that is no ruleset.
#[derive(Debug)]
pub struct FileError {
    path: Box<Path>,
    cause: std::io::Error,
}

impl fmt::Display for FileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.path.display(), self.cause)
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

impl Client {
    /// Begins a client of the service at `address`, such as `http://localhost:8080`, with an SDK key of an environment.
    pub fn builder(address: impl Into<String>, sdk_key: impl AsRef<str>) -> Builder {
        Builder::new(address.into(), sdk_key.as_ref())
    }

    /// A client that serves a file and never changes: for jobs without a network, and for reproducing what happened.
    ///
    /// The file is one that a disk cache has written, or the JSON of a ruleset made by hand: the data of a `ruleset`
    /// event, `{"flags": [...], "cohorts": [...]}`. Lists of cohorts stand beside it, each in a file that ends with its
    /// digest and `.list`, as a disk cache writes them.
    ///
    /// # Errors
    /// A file that cannot be read, or is no ruleset.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        let stored = read_ruleset(path).map_err(|cause| FileError { path: path.into(), cause })?;
        // A disk cache puts the key's id before the digest.
        let prefix = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.split_once('.')).map_or("", |(id, _)| id);
        let beside = |name: String| path.with_file_name(name);
        let ruleset = with_lists(stored.ruleset, |digest| {
            let cached = beside(format!("{prefix}.{}", list_file(digest)));
            if cached.exists() { cached } else { beside(list_file(digest)) }
        });
        Ok(Self::unchanging(ruleset))
    }

    /// A client whose flags are what the application says, for unit tests: everybody gets the value.
    ///
    /// ```
    /// use serde_json::json;
    /// use storyflag::{Client, Context};
    ///
    /// let flags = Client::fixed([("US-1-cart", true), ("US-2-search", false)]);
    /// assert!(flags.is_on("US-1-cart", &Context::new("anybody")));
    ///
    /// let typed = Client::fixed([("theme", json!("dark")), ("limit", json!(20))]);
    /// assert_eq!(typed.integer("limit", &Context::new("anybody"), 10), 20);
    /// ```
    ///
    /// Values are booleans, strings, numbers and JSON objects; a flag with another value is as good as unsupported.
    pub fn fixed<K: Into<String>, V: Into<serde_json::Value>>(flags: impl IntoIterator<Item = (K, V)>) -> Self {
        Self::unchanging(fixed::ruleset(flags))
    }

    fn unchanging(ruleset: Ruleset) -> Self {
        let shared = Shared::new(State::Fixed, Outcomes::new(false));
        shared.serve(ruleset);
        Self { shared: Arc::new(shared), endpoints: [].into(), life: None }
    }

    pub(crate) fn connected(shared: Arc<Shared>, endpoints: Arc<[String]>, life: Life) -> Self {
        Self { shared, endpoints, life: Some(Arc::new(life)) }
    }

    /// This client's answers for one context, all from one ruleset. Take it once a request.
    #[inline]
    pub fn for_context(&self, context: Context) -> ForContext {
        ForContext::new(self.shared.served(), context)
    }

    /// Whether a boolean flag is on; `false` when unsure: no such flag, no ruleset yet, another type.
    #[inline]
    pub fn is_on(&self, key: &str, context: &Context) -> bool {
        self.is_on_or(key, context, false)
    }

    /// Whether a boolean flag is on; `default` when unsure.
    #[inline]
    pub fn is_on_or(&self, key: &str, context: &Context, default: bool) -> bool {
        self.shared.served().ask(key, context, boolean).unwrap_or(default)
    }

    /// The text that a flag serves; `default` when unsure. [`ForContext::string`] does not copy it.
    pub fn string(&self, key: &str, context: &Context, default: &str) -> String {
        self.shared.served().ask(key, context, text).unwrap_or(default).to_owned()
    }

    /// The whole number that a flag serves; `default` when unsure, and where the number is not whole.
    pub fn integer(&self, key: &str, context: &Context, default: i64) -> i64 {
        self.shared.served().ask(key, context, integer).unwrap_or(default)
    }

    /// The number that a flag serves; `default` when unsure.
    pub fn number(&self, key: &str, context: &Context, default: f64) -> f64 {
        self.shared.served().ask(key, context, number).unwrap_or(default)
    }

    /// What a flag of any type serves, as JSON; `default` when unsure.
    pub fn json(&self, key: &str, context: &Context, default: serde_json::Value) -> serde_json::Value {
        self.shared.served().ask(key, context, |value| Some(value.to_json())).unwrap_or(default)
    }

    /// What a flag answers and why, whatever its type; its value is none where a getter would give its default.
    pub fn detail(&self, key: &str, context: &Context) -> Detail<Option<Value>> {
        self.shared.served().detail(key, context)
    }

    /// What a flag of this type answers and why; a flag of another type is an error, and `default` is served.
    pub fn detail_or<T: FlagValue>(&self, key: &str, context: &Context, default: T) -> Detail<T> {
        self.shared.served().detail_or(key, context, default)
    }

    /// Something has happened that plans may watch, somewhere where no scope is: `purchase`, `sign_up`.
    ///
    /// Who is in which arm follows from the context, so it is credited as if it had happened where the flag was asked for.
    /// Inside a scope, [`track`](crate::track) does the same without the context; one event is to be told once.
    pub fn track(&self, context: &Context, name: &str, value: f64) {
        self.shared.served().track(context, name, value);
    }

    /// Whether there is a ruleset, fresh or stale. Until then every answer is the caller's default.
    pub fn ready(&self) -> bool {
        self.shared.served().is_ready
    }

    /// How the client is doing.
    pub fn status(&self) -> Status {
        Status::of(&self.shared, &self.endpoints)
    }

    /// Tells when something else is served from now on.
    ///
    /// ```no_run
    /// # async fn follow(flags: storyflag::Client) {
    /// let mut changes = flags.changes();
    /// while let Some(identity) = changes.next().await {
    ///     println!("now serving {identity}");
    /// }
    /// # }
    /// ```
    pub fn changes(&self) -> Changes {
        Changes::of(&self.shared)
    }

    /// Ends the task behind the client and waits for it: the stream is closed, the disk cache is written, and the last
    /// counts are reported with a goodbye, within about two seconds. All clones go on answering with what they have.
    pub async fn close(&self) {
        match &self.life {
            Some(life) => life.end().await,
            None => self.shared.closed(),
        }
    }
}
