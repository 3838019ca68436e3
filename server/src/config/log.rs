use clap::{Args, ValueEnum};

/// What the service tells its operator, on standard error.
#[derive(Debug, Clone, Args)]
pub struct LogConfig {
    /// What to log, as `tracing` directives, such as `info,storyflag_server=debug`. STORYFLAG_LOG; `info`
    #[arg(id = "log", long = "log", env = "STORYFLAG_LOG", default_value = "info", value_name = "DIRECTIVES")]
    pub filter: String,
    /// For people or for machines. STORYFLAG_LOG_FORMAT; `text`
    #[arg(id = "log-format", long = "log-format", env = "STORYFLAG_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    pub format: LogFormat,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Text }
    }
}
