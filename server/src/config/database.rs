use clap::Args;

/// Where everything is kept.
#[derive(Debug, Clone, Args)]
pub struct DatabaseConfig {
    /// `sqlite:FILE` (made when missing) or `postgres://USER@HOST/NAME`. STORYFLAG_DATABASE; `sqlite:storyflag.db`
    #[arg(
        id = "database",
        long = "database",
        env = "STORYFLAG_DATABASE",
        default_value = "sqlite:storyflag.db",
        value_name = "URL",
        hide_env_values = true
    )]
    pub url: String,
    /// The most connections to Postgres, half of them for writes; or the readers of SQLite. STORYFLAG_DATABASE_CONNECTIONS; 16
    #[arg(id = "database-connections", long = "database-connections", env = "STORYFLAG_DATABASE_CONNECTIONS", default_value_t = 16, value_name = "N",
        value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub connections: u32,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self { url: "sqlite:storyflag.db".to_owned(), connections: 16 }
    }
}
