//! Prometheus for tests: one of its own for each.

use std::net::SocketAddr;

use crate::service::Service;

/// A Prometheus that scrapes one place, often.
pub struct Prometheus {
    service: Service,
    /// `http://host:port`.
    pub url: String,
}

impl Prometheus {
    /// One that scrapes `/metrics` of `target` five times a second.
    pub fn scraping(target: SocketAddr) -> Prometheus {
        let config = format!(
            "global: {{ scrape_interval: 200ms, scrape_timeout: 200ms }}\n\
             scrape_configs: [ {{ job_name: shop, static_configs: [ {{ targets: [ \"{target}\" ] }} ] }} ]\n"
        );
        let service = Service::start_with("prometheus", |folder| {
            std::fs::create_dir(folder).expect("a temporary folder");
            std::fs::write(folder.join("prometheus.yml"), config).expect("a file in it");
        });
        let url = service.address.clone();
        Prometheus { service, url }
    }

    /// Stops it at once, as a crash would.
    pub fn stop(&self) {
        self.service.stop();
    }

    /// Starts it again after [`Prometheus::stop`], at the same address.
    pub fn start(&self) {
        self.service.start_again();
    }
}
