//! TLS: the right certificate and no other.
//!
//! `fixtures/` holds the certificate of an authority of our own and one for `localhost` that it signed, both good for a
//! hundred years; the authority's key is gone.

use std::{sync::Arc, time::Duration};

use storyflag::{Client, ConnectError, State};
use tokio::{join, net::TcpListener};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

use crate::{
    environment::Environment,
    eventually, key,
    service::{Service, Socket},
    user,
};

const AUTHORITY: &[u8] = include_bytes!("../fixtures/authority.pem");

async fn service() -> (Service, String) {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("../fixtures/localhost.pem")).unwrap();
    let private = PrivateKeyDer::from_pem_slice(include_bytes!("../fixtures/localhost-key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], private)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let service = Service::with(listener, move |tcp| {
        let acceptor = acceptor.clone();
        async move { Some(Box::new(acceptor.accept(tcp).await.ok()?) as Box<dyn Socket>) }
    });
    let address = format!("https://localhost:{}", service.address().port());
    (service, address)
}

#[tokio::test]
async fn a_certificate_of_a_trusted_authority_is_accepted() {
    let (service, address) = service().await;
    let environment = Environment::with("US-1", 100.0);
    let connecting = Client::builder(address, key().as_str()).root_certificates(AUTHORITY).without_reports().connect();
    let (client, _stream) = join!(connecting, service.serve(&environment));
    let client = client.unwrap();
    assert_eq!(client.status().state, State::Streaming);
    assert!(client.is_on("US-1", &user("a")));
}

#[tokio::test]
async fn a_certificate_of_anybody_else_is_not() {
    let (service, address) = service().await;
    let client = Client::builder(address, key().as_str()).without_reports().ready_within(Duration::ZERO).connect().await.unwrap();
    eventually(&client, |status| status.last_error.as_ref().is_some_and(|error| error.contains("invalid peer certificate"))).await;
    assert!(!client.ready());
    service.nobody_asks("/", Duration::ZERO).await;
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not() {
    let (service, address) = service().await;
    // The certificate is for `localhost` and 127.0.0.1.
    let address = address.replace("localhost", "127.0.0.2");
    let client = Client::builder(address, key().as_str()).root_certificates(AUTHORITY).ready_within(Duration::ZERO).without_reports();
    let client = client.connect().await.unwrap();
    eventually(&client, |status| status.last_error.as_ref().is_some_and(|error| error.contains("not valid for name"))).await;
    assert!(!client.ready());
    service.nobody_asks("/", Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_plain_service_behind_https_is_an_error_in_status() {
    let service = Service::start().await;
    let address = service.url().replace("http://", "https://");
    let client = Client::builder(address, key().as_str()).without_reports().ready_within(Duration::ZERO).connect().await.unwrap();
    eventually(&client, |status| status.last_error.as_ref().is_some_and(|error| error.starts_with("cannot connect"))).await;
    assert!(!client.ready());
}

#[tokio::test]
async fn what_is_no_certificate_is_told_at_once() {
    for pem in [&b""[..], b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"-----BEGIN CERT"] {
        let builder = Client::builder("https://localhost", key().as_str()).root_certificates(pem);
        assert!(matches!(builder.connect().await, Err(ConnectError::Certificates(_))));
    }
}
