//! Running the service: tracing, the socket, signals.

use std::{
    io::{self, IsTerminal},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use super::{invocation, token};
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
    // Colours are for people who look; a file would keep them as codes.
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    match config.format {
        LogFormat::Text => lines.compact().init(),
        LogFormat::Json => lines.json().init(),
    }
    Ok(())
}

async fn run(config: Config) -> Result<(), String> {
    let listen = config.http.listen;
    let listener = TcpListener::bind(listen).await.map_err(|error| not_there(listen, &error))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let database = config.database.url.clone();
    let server = Server::start(config).await.map_err(|error| error.to_string())?;
    match server.first_start() {
        Some(made) => greet_first(&base_of(address), made),
        None => greet(&base_of(address), &database),
    }
    server.run(listener, stop_signal()?).await;
    Ok(())
}

/// Why nobody can listen there, and what to type instead.
fn not_there(listen: SocketAddr, error: &io::Error) -> String {
    let text = format!("STORYFLAG_LISTEN: {listen}: {error}");
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let other = SocketAddr::new(listen.ip(), listen.port().checked_add(1).unwrap_or(8081));
            format!("{text}\nnext: {} serve --listen {other}, or stop what listens there", invocation::shown())
        }
        io::ErrorKind::PermissionDenied => {
            format!("{text}\nnext: a port from 1024 on, such as --listen {}", SocketAddr::new(listen.ip(), 8080))
        }
        _ => text,
    }
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
    println!("This is its first start; what follows is shown once. The token is an admin's, for 8 hours.");
    println!("In another terminal:\n");
    println!("  export STORYFLAG_URL={base}");
    println!("  export STORYFLAG_TOKEN={}", made.admin_token);
    if let Some(line) = path_line() {
        println!("  {line}");
    }
    println!("  storyflag flags create US-123-checkout --story US-123 --description \"The new checkout\"");
    println!("  storyflag rollout US-123-checkout 0.1 --environment staging");
    println!("  storyflag explain US-123-checkout user-42 --environment staging\n");
    println!("For applications, one SDK key an environment:\n");
    for (environment, key) in &made.keys {
        println!("  {environment:<12} {key}");
    }
    println!("\nThe API and its page: {base}/docs");
}

fn greet(base: &str, database: &str) {
    println!("Storyflag serves {base}   (API: {base}/docs)\n");
    println!("In another terminal:\n");
    println!("  export STORYFLAG_URL={base}");
    if let Some(line) = path_line() {
        println!("  {line}");
    }
    println!("  export STORYFLAG_TOKEN=$(storyflag token --role admin{})", database_option(database));
    println!("\nAn SDK key for an application: storyflag keys create NAME --environment staging");
}

/// What lets a shell find this very program, if it does not yet.
fn path_line() -> Option<String> {
    let directory = invocation::directory_off_path()?;
    Some(format!("export PATH={}:\"$PATH\"", invocation::quoted(&directory.to_string_lossy())))
}

/// How `token` finds the same database from any directory. Where Postgres is may be secret, and stands in a variable.
fn database_option(url: &str) -> String {
    let Some(file) = token::sqlite_file(url) else { return String::new() };
    let file = std::path::absolute(file).unwrap_or_else(|_| file.into());
    format!(" --database {}", invocation::quoted(&format!("sqlite:{}", file.display())))
}

/// The address at which this machine itself reaches what listens at `address`.
fn base_of(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_shown_is_one_to_connect_to() {
        for (listens, shown) in
            [("0.0.0.0:80", "http://127.0.0.1:80"), ("[::]:80", "http://[::1]:80"), ("10.0.0.7:8080", "http://10.0.0.7:8080")]
        {
            assert_eq!(base_of(listens.parse().unwrap()), shown);
        }
    }

    #[test]
    fn a_token_is_made_from_any_directory() {
        assert_eq!(database_option("postgres://storyflag:secret@db/storyflag"), "");
        assert_eq!(database_option("sqlite:/var/my flags.db"), " --database 'sqlite:/var/my flags.db'");
        assert!(database_option("sqlite:storyflag.db").starts_with(" --database sqlite:/"));
    }
}
