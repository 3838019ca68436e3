//! Redis for tests: one for all, with a key prefix for each.

use std::sync::LazyLock;

use crate::service::Service;

/// A Redis. The shared one is `make test`'s (`STORYFLAG_TEST_REDIS`) or, without that, this process's own.
pub struct Redis {
    service: Option<Service>,
    /// `redis://host:port`.
    pub url: String,
}

static SHARED: LazyLock<Redis> = LazyLock::new(|| match std::env::var("STORYFLAG_TEST_REDIS") {
    Ok(url) => Redis { service: None, url },
    Err(_) => Redis::own(),
});

impl Redis {
    /// The Redis that tests share, each with a prefix of its own ([`prefix`]).
    pub fn shared() -> &'static Redis {
        &SHARED
    }

    /// A Redis for one test, which may stop it.
    pub fn own() -> Redis {
        let service = Service::start("redis");
        let url = service.address.clone();
        Redis { service: Some(service), url }
    }

    /// Stops it at once, as a crash would.
    pub fn stop(&self) {
        self.service.as_ref().expect("the shared Redis is not ours to stop").stop();
    }

    /// Starts it again after [`Redis::stop`], at the same address.
    pub fn start(&self) {
        self.service.as_ref().expect("the shared Redis is not ours to start").start_again();
    }
}

/// A key prefix that no other test has.
pub fn prefix() -> String {
    format!("storyflag-test-{:016x}:", fastrand::u64(..))
}
