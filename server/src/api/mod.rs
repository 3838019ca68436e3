//! JSON in and out, one file a noun: no SQL, no decisions.

pub mod body;
pub mod changes;
pub mod channels;
pub mod cohorts;
mod conditions;
pub mod documents;
pub mod environments;
pub mod explain;
pub mod fields;
pub mod flags;
pub mod forms;
pub mod freezes;
pub mod history;
pub mod incarnation;
pub mod instances;
pub mod keys;
pub mod kill;
pub mod lists;
pub mod members;
pub mod plans;
pub mod problems;
pub mod projects;
pub mod rehearsals;
pub mod releases;
pub mod rollout;
pub mod ruleset;
pub mod sdk;
pub mod stream;
pub mod targetings;
pub mod telemetry;
mod unique;
pub mod writes;

use serde::Deserialize;
use utoipa::IntoParams;

/// Where something lies: in a project.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct InProject {
    /// The project's key.
    #[param(example = "default")]
    pub project: String,
}

/// Where something lies: in an environment.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct InEnvironment {
    /// The project's key.
    #[param(example = "default")]
    pub project: String,
    /// The environment's key.
    #[param(example = "production")]
    pub environment: String,
}

/// A page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub struct Page {
    /// What comes after this key: the `next` of the page before.
    pub after: String,
    /// At most so many, 1 to 1000.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: i64,
}

impl Default for Page {
    fn default() -> Self {
        Self { after: String::new(), limit: 100 }
    }
}

impl Page {
    /// The limit, within its bounds.
    pub fn limit(&self) -> i64 {
        self.limit.clamp(1, 1_000)
    }

    /// A page that goes backwards from a number: the `next` of the page before, or from the newest.
    ///
    /// # Errors
    /// 422 when it is no number.
    pub fn below(&self) -> Result<i64, crate::error::Error> {
        if self.after.is_empty() {
            return Ok(i64::MAX);
        }
        self.after.parse().map_err(|_| crate::error::Error::invalid("/after", "is not the \"next\" of a page"))
    }
}

/// The key of the last entry of a full page: where the next one begins.
pub fn next_after<T>(rows: &[T], limit: i64, key: impl Fn(&T) -> String) -> Option<String> {
    let full = i64::try_from(rows.len()).is_ok_and(|count| count >= limit);
    rows.last().filter(|_| full).map(key)
}

/// A time as the API tells it: RFC 3339.
pub fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map(|at| at.to_string()).unwrap_or_default()
}
