//! Tokens for people. Whoever can read the database can make one: that is where the key is.

use std::{path::Path, time::Duration};

use clap::Args;

use super::failure::Failure;
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
    #[arg(long, env = "USER", hide_env = true, default_value = "cli")]
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

/// Makes a token.
pub(super) fn token(args: &TokenArgs) -> Result<String, Failure> {
    let url = &args.database.url;
    refuse_to_make_a_database(url)?;
    let refused = |error: &dyn std::fmt::Display| Failure::refused(format!("{error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| refused(&error))?;
    let tokens = runtime.block_on(async {
        let store = Store::open(url, 2).await.map_err(|error| refused(&error))?;
        let tokens = Tokens::load(&store, now_ms()).await.map_err(|error| refused(&error));
        store.close().await;
        tokens
    })?;
    let environments = (!args.environments.is_empty()).then(|| args.environments.clone());
    let life = Duration::from_secs(u64::from(args.hours).saturating_mul(3600));
    tokens.issue(&args.subject, args.role, environments, life).map_err(|error| refused(&error))
}

/// The file of an SQLite address: `sqlite:FILE`, also with slashes before and options behind.
pub(super) fn sqlite_file(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("sqlite:")?;
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    Some(rest.split('?').next().unwrap_or(rest))
}

/// A token out of a database that was just made, in the wrong directory, opens nothing.
fn refuse_to_make_a_database(url: &str) -> Result<(), Failure> {
    match sqlite_file(url) {
        Some(file) if !Path::new(file).is_file() => {
            let directory = std::env::current_dir().map(|directory| format!(" in {}", directory.display())).unwrap_or_default();
            Err(Failure::refused(format!("there is no {file}{directory}, and only the service makes one"))
                .or_next("the same with --database sqlite:FILE, or where the service runs"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_stands_between_scheme_and_options() {
        for (url, file) in [("sqlite:a.db", Some("a.db")), ("sqlite:///var/a.db?mode=rw", Some("/var/a.db")), ("postgres://u@h/a", None)] {
            assert_eq!(sqlite_file(url), file);
        }
    }

    #[test]
    fn no_token_comes_out_of_a_database_that_is_not_there() {
        let file = std::env::temp_dir().join(format!("storyflag-none-{:016x}.db", fastrand::u64(..)));
        let url = format!("sqlite:{}", file.display());
        assert!(refuse_to_make_a_database(&url).unwrap_err().text().contains("next: the same with --database"));
        assert!(!file.exists());
        assert_eq!(refuse_to_make_a_database("postgres://a@b/c"), Ok(()));
    }
}
