//! From an address and a key to a client.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use tokio::time::timeout;

use crate::{
    client::Client,
    connection::Connector,
    disk_cache::DiskCache,
    endpoint::{AddressError, Endpoint},
    key::{KeyError, SdkKey},
    outcomes::Outcomes,
    problem::Problem,
    shared::Shared,
    status::State,
    task::Task,
};

const READY_WITHIN: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What a client is made of; see [`Client::builder`].
#[derive(Debug)]
#[must_use = "a builder does nothing until it is connected"]
pub struct Builder {
    addresses: Vec<String>,
    sdk_key: Result<SdkKey, KeyError>,
    disk_cache: Option<PathBuf>,
    ready_within: Duration,
    reports: bool,
    longest_wait: Duration,
    #[cfg(feature = "tls")]
    root_certificates: Option<Vec<u8>>,
}

/// Why there is no client: something that no waiting would mend.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// An address is none.
    Address(AddressError),
    /// The SDK key has not the form of one.
    Key(KeyError),
    /// The root certificates cannot be read.
    Certificates(String),
    /// `connect` was awaited outside a tokio runtime.
    NoRuntime,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(error) => error.fmt(formatter),
            Self::Key(error) => error.fmt(formatter),
            Self::Certificates(why) => write!(formatter, "the root certificates cannot be used: {why}"),
            Self::NoRuntime => formatter.write_str("connect has to be awaited inside a tokio runtime"),
        }
    }
}

impl std::error::Error for ConnectError {}

impl Builder {
    pub(crate) fn new(address: String, sdk_key: &str) -> Self {
        Self {
            addresses: vec![address],
            sdk_key: SdkKey::parse(sdk_key.trim()),
            disk_cache: None,
            ready_within: READY_WITHIN,
            reports: true,
            longest_wait: LONGEST_WAIT,
            #[cfg(feature = "tls")]
            root_certificates: None,
        }
    }

    /// Another address of the same service, asked when those before it give nothing.
    pub fn endpoint(mut self, address: impl Into<String>) -> Self {
        self.addresses.push(address.into());
        self
    }

    /// Keeps the last known ruleset in this directory, so that a start without a network is a start with flags.
    ///
    /// Give every process its own. Files carry the id of the SDK key in their names, so that a directory used with the key
    /// of another environment never serves this one's flags.
    pub fn disk_cache(mut self, directory: impl Into<PathBuf>) -> Self {
        self.disk_cache = Some(directory.into());
        self
    }

    /// How long [`Builder::connect`] waits for a first ruleset at most; 2 s unless said otherwise.
    pub fn ready_within(mut self, wait: Duration) -> Self {
        self.ready_within = wait;
        self
    }

    /// How long to wait at most before a service that is away is asked again; 30 s unless said otherwise.
    ///
    /// Waits are random, and double from half a second up to this. Shorter is for few clients: thousands that ask every
    /// second keep a service that has just come back from coming back.
    pub fn longest_wait(mut self, wait: Duration) -> Self {
        self.longest_wait = wait;
        self
    }

    /// Reports nothing: neither use nor outcomes nor which ruleset runs. Releases then cannot see this client.
    pub fn without_reports(mut self) -> Self {
        self.reports = false;
        self
    }

    /// Trusts the certificates in this PEM text too, beside the Mozilla roots.
    #[cfg(feature = "tls")]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificates = Some(pem.into());
        self
    }

    /// Starts the client and waits for its first ruleset.
    ///
    /// What the disk cache has is served at once. Returns with the first ruleset from the network and its lists; or when
    /// every address has failed and the disk cache gave a ruleset; or after [`Builder::ready_within`], with whatever there
    /// is. A service that is away is no error: the client goes on trying, and [`Client::status`] tells.
    ///
    /// # Errors
    /// An address, key or certificate that cannot be one, or no tokio runtime.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let endpoints = self.addresses.iter().map(|address| Endpoint::parse(address)).collect::<Result<Arc<[Endpoint]>, _>>();
        let endpoints = endpoints.map_err(ConnectError::Address)?;
        let key = self.sdk_key.map_err(ConnectError::Key)?;
        #[cfg(feature = "tls")]
        let tls = crate::tls::Tls::new(self.root_certificates.as_deref()).map_err(ConnectError::Certificates)?;
        let connector = Connector::new(
            &key,
            #[cfg(feature = "tls")]
            tls,
        );
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| ConnectError::NoRuntime)?;

        let shared = Arc::new(Shared::new(State::NotReady, Outcomes::new(self.reports)));
        let disk = self.disk_cache.map(|directory| Arc::new(DiskCache::new(directory, key.id())));
        let mut stored = None;
        if let Some(disk) = disk.clone() {
            let found = runtime.spawn_blocking(move || disk.load()).await.unwrap_or_default();
            for fault in found.faults {
                shared.tell(&Problem::Disk(fault));
            }
            if let Some(found) = found.stored {
                shared.serve(found.ruleset.clone());
                shared.stale();
                stored = Some(found);
            }
        }
        let addresses = endpoints.iter().map(ToString::to_string).collect();
        let mut condition = shared.watch_condition();
        let from_disk = stored.is_some();
        let task = Task { shared: Arc::clone(&shared), connector, endpoints, disk, reports: self.reports, longest_wait: self.longest_wait };
        let client = Client::connected(shared, addresses, task.start(stored));
        let ready = condition.wait_for(|condition| {
            let from_network = condition.has_answer && condition.missing_lists == 0;
            from_network || condition.all_failed && from_disk
        });
        // Out of time is not an error: the client answers with what it has, and goes on trying.
        let _ = timeout(self.ready_within, ready).await;
        Ok(client)
    }
}
