//! A shop with a new checkout behind the flag `US-123-checkout`.
//!
//! ```sh
//! export STORYFLAG_SDK_KEY=sfs_...          # printed by the service on its first start
//! cargo run --example shop -- http://localhost:8080      # and a port, if 3000 is taken
//! curl 'http://localhost:3000/checkout?user=user-42&country=DE'
//! ```
//!
//! Raise the percentage while it runs, and the same curl answers otherwise a moment later. While a release watches the flag,
//! the layer tells the service how these requests went, and the purchases that were made in them.

use std::{env, error::Error, process::ExitCode, time::Duration};

use axum::{
    Router,
    extract::{Query, State},
    routing::get,
};
use serde::Deserialize;
use storyflag::{Client, Context, OutcomeLayer, State as Connection, track};
use tokio::net::TcpListener;

const CHECKOUT: &str = "US-123-checkout";

#[derive(Deserialize)]
struct Customer {
    user: String,
    country: Option<String>,
}

impl Customer {
    fn context(self) -> Context {
        let context = Context::new(self.user);
        match self.country {
            Some(country) => context.with("country", country),
            None => context,
        }
    }
}

async fn checkout(State(flags): State<Client>, Query(customer): Query<Customer>) -> &'static str {
    let customer = flags.for_context(customer.context());
    // Told for both arms: an event says something only where there is another to compare it with.
    track("purchase", 74.5);
    if customer.is_on(CHECKOUT) { "The new checkout: one page, one click.\n" } else { "The checkout that you know: four pages.\n" }
}

async fn why(State(flags): State<Client>, Query(customer): Query<Customer>) -> String {
    format!("{:#?}\n", flags.detail(CHECKOUT, &customer.context()))
}

async fn health(State(flags): State<Client>) -> String {
    format!("{:#?}\n", flags.status())
}

/// Says on the console what the connection suffers from, such as a key that was revoked, and when it is over.
async fn tell_problems(flags: &Client, mut told: Option<String>) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let status = flags.status();
        match (status.state, status.last_error) {
            (Connection::Closed, _) => return,
            (Connection::Streaming | Connection::Polling, _) if told.take().is_some() => println!("connected again"),
            (Connection::Streaming | Connection::Polling, _) => {}
            (_, Some(error)) if told.as_ref() != Some(&error) => {
                println!("{error}; what was served is served on");
                told = Some(error);
            }
            _ => {}
        }
    }
}

async fn run(address: &str, sdk_key: String, port: u16) -> Result<(), Box<dyn Error>> {
    let flags = Client::builder(address, sdk_key).disk_cache(env::temp_dir().join("storyflag-shop")).connect().await?;
    let status = flags.status();
    println!("{:?}, serving {}", status.state, status.identity.map_or("defaults".into(), |identity| identity.to_string()));
    let told = status.last_error;
    if let Some(error) = &told {
        println!("{error}; the shop is open anyway");
    }

    let mut changes = flags.changes();
    tokio::spawn(async move {
        while let Some(identity) = changes.next().await {
            println!("now serving {identity}");
        }
    });

    let watched = flags.clone();
    tokio::spawn(async move { tell_problems(&watched, told).await });

    let shop = Router::new().route("/checkout", get(checkout)).route("/why", get(why)).route("/health", get(health));
    let shop = shop.layer(OutcomeLayer::new());
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("open at http://127.0.0.1:{port}/checkout?user=user-42 (why: /why?user=user-42, how: /health); close with Ctrl-C");
    let closing = async { tokio::signal::ctrl_c().await.unwrap_or(()) };
    axum::serve(listener, shop.with_state(flags.clone())).with_graceful_shutdown(closing).await?;
    flags.close().await;
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let address = env::args().nth(1).or_else(|| env::var("STORYFLAG_ADDRESS").ok()).unwrap_or("http://localhost:8080".into());
    let Ok(sdk_key) = env::var("STORYFLAG_SDK_KEY") else {
        eprintln!("STORYFLAG_SDK_KEY is not set. The service prints a key for every environment on its first start;");
        eprintln!("storyflag keys --help says how to make another");
        return ExitCode::FAILURE;
    };
    let port = env::args().nth(2).and_then(|port| port.parse().ok()).unwrap_or(3000);
    match run(&address, sdk_key, port).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
