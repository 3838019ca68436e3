use clap::Args;

/// How nodes tell each other what changed. Without Redis they learn it from the database, within a second.
#[derive(Debug, Clone, Args)]
pub struct BusConfig {
    /// `redis://HOST:PORT`: makes news arrive at other nodes at once. REDIS_URL; none
    #[arg(id = "redis", long = "redis", env = "REDIS_URL", value_name = "URL", hide_env_values = true)]
    pub redis: Option<String>,
    /// What the names of our Redis channels begin with. STORYFLAG_REDIS_PREFIX; `storyflag:`
    #[arg(id = "redis-prefix", long = "redis-prefix", env = "STORYFLAG_REDIS_PREFIX", default_value = "storyflag:", value_name = "TEXT")]
    pub prefix: String,
}

impl Default for BusConfig {
    fn default() -> Self {
        Self { redis: None, prefix: "storyflag:".to_owned() }
    }
}
