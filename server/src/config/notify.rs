use clap::Args;

/// How messages reach people.
#[derive(Debug, Clone, Args)]
pub struct NotifyConfig {
    /// Seconds that a webhook may take to answer. STORYFLAG_WEBHOOK_SECONDS; 10
    #[arg(id = "webhook-seconds", long = "webhook-seconds", env = "STORYFLAG_WEBHOOK_SECONDS", default_value_t = 10, value_name = "SECONDS",
        value_parser = clap::value_parser!(u32).range(1..=60))]
    pub webhook_seconds: u32,
    /// Seconds between two attempts to reach a webhook, at most. STORYFLAG_WEBHOOK_WAIT_SECONDS; 36000
    #[arg(id = "webhook-wait-seconds", long = "webhook-wait-seconds", env = "STORYFLAG_WEBHOOK_WAIT_SECONDS", default_value_t = 36_000,
        value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=36_000))]
    pub longest_wait_seconds: u32,
}

impl Default for NotifyConfig {
    fn default() -> Self {
        Self { webhook_seconds: 10, longest_wait_seconds: 36_000 }
    }
}
