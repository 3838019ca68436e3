//! Running the service: tracing, the socket, signals.

use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::{
    Server,
    app::FirstStart,
    config::{Config, LogConfig, LogFormat},
};

/// Runs the service until SIGTERM or ctrl-c.
pub(super) fn serve(config: Config) -> Result<(), String> {
    trace(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(run(config))
}

fn trace(config: &LogConfig) -> Result<(), String> {
    let filter = EnvFilter::try_new(&config.filter).map_err(|error| format!("STORYFLAG_LOG: {error}"))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => lines.compact().init(),
        LogFormat::Json => lines.json().init(),
    }
    Ok(())
}

async fn run(config: Config) -> Result<(), String> {
    let listen = config.http.listen;
    let listener = TcpListener::bind(listen).await.map_err(|error| format!("STORYFLAG_LISTEN: {listen}: {error}"))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let database = config.database.url.clone();
    let server = Server::start(config).await.map_err(|error| error.to_string())?;
    match server.first_start() {
        Some(made) => greet_first(&format!("http://{address}"), made),
        None => greet(&format!("http://{address}"), &database),
    }
    server.run(listener, stop_signal()?).await;
    Ok(())
}

/// Cancelled by the first SIGTERM or ctrl-c; the second one ends the process at once.
fn stop_signal() -> Result<CancellationToken, String> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let told = stop.clone();
    tokio::spawn(async move {
        for round in 0_u8.. {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if round > 0 {
                std::process::exit(130);
            }
            tracing::info!("stopping: saying goodbye to every stream");
            told.cancel();
        }
    });
    Ok(stop)
}

fn greet_first(base: &str, made: &FirstStart) {
    println!("Storyflag serves {base}\n");
    println!("This is its first start. What follows is shown once:\n");
    println!("  export STORYFLAG_URL={base}");
    println!("  export STORYFLAG_TOKEN={}   # admin, for 8 hours\n", made.admin_token);
    for (environment, key) in &made.keys {
        println!("  SDK key for {environment:<12} {key}");
    }
    println!("\nIn another terminal, with the two lines above:\n");
    println!("  storyflag flags create US-123-checkout");
    println!("  storyflag rollout US-123-checkout 0.1 --environment staging");
    println!("\nThe API and its page: {base}/docs");
}

fn greet(base: &str, database: &str) {
    let database = if database.starts_with("sqlite:") { format!(" --database {database}") } else { String::new() };
    println!("Storyflag serves {base}   (API: {base}/docs)");
    println!("A token:    storyflag token --role admin{database}");
    println!("An SDK key: storyflag keys create NAME --environment staging");
}
