//! Tokens for people. Whoever can read the database can make one: that is where the key is.

use std::time::Duration;

use clap::Args;

use crate::{
    app::now_ms,
    auth::{Role, Tokens},
    config::DatabaseConfig,
    store::Store,
};

#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// viewer, editor, release_manager or admin
    #[arg(long)]
    role: Role,
    /// Who it is for: the name that stands in the history
    #[arg(long, default_value = "cli")]
    subject: String,
    /// Only for this environment (`default/staging`, or `staging` in any project); may be given again
    #[arg(long = "environment", value_name = "ENVIRONMENT")]
    environments: Vec<String>,
    /// How many hours it is good for
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=8760))]
    hours: u32,
    #[command(flatten)]
    database: DatabaseConfig,
}

/// Prints a token.
pub(super) fn token(args: &TokenArgs) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let tokens = runtime.block_on(async {
        let store = Store::open(&args.database.url, 2).await.map_err(|error| error.to_string())?;
        let tokens = Tokens::load(&store, now_ms()).await.map_err(|error| error.to_string());
        store.close().await;
        tokens
    })?;
    let environments = (!args.environments.is_empty()).then(|| args.environments.clone());
    let life = Duration::from_secs(u64::from(args.hours).saturating_mul(3600));
    let token = tokens.issue(&args.subject, args.role, environments, life).map_err(|error| error.to_string())?;
    println!("{token}");
    Ok(())
}
