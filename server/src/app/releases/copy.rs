//! What a release copies of its plan, and how its row is read back.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use storyflag_release::{
    machine::Course,
    plan::{Calendar, Plan},
    run::Run,
};

use crate::{
    error::Error,
    scheduler::{Carried, Stored},
    store::ReleaseRow,
};

/// How many latency limits an SDK counts.
const MOST_LIMITS: usize = 8;

/// What stands in a release's row of the plan: nothing that is put later changes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Copy {
    course: Course,
    calendar: Calendar,
    limits_ms: Vec<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    queries: Vec<(String, String)>,
}

impl Copy {
    /// Of a plan, under the id of the release; with a time scale its bakes are shorter and its calendar gates nothing. An
    /// environment's freezes gate all the same.
    ///
    /// # Errors
    /// 422 with what cannot be carried out.
    pub(super) fn of(plan: &Plan, release: &str, time_scale: Option<u32>) -> Result<Self, Error> {
        let mut course = Course::of(plan, release);
        let mut calendar = plan.calendar.clone();
        if let Some(time_scale) = time_scale {
            course = Course { ignores_calendar: false, ..course.scaled(time_scale) };
            calendar.steps_only = None;
        }
        let faults = course.faults();
        if !faults.is_empty() {
            return Err(Error::invalid("/plan", format!("cannot be executed here: {}", faults.join("; "))));
        }
        let limits_ms: Vec<u32> = plan.limits_ms().into_iter().filter_map(|limit| u32::try_from(limit).ok()).collect();
        if limits_ms.len() > MOST_LIMITS {
            let detail =
                format!("names {} latency limits in triggers, alerts and targets; at most {MOST_LIMITS} are counted", limits_ms.len());
            return Err(Error::invalid("/plan", detail));
        }
        let queries = plan.queries().into_iter().map(|(text, query)| (text.to_owned(), query.to_owned())).collect();
        Ok(Self { course, calendar, limits_ms, queries })
    }

    pub(super) fn limits_ms(&self) -> &[u32] {
        &self.limits_ms
    }
}

/// A release as its row tells it.
pub(super) fn stored(row: &ReleaseRow) -> Result<Stored, Error> {
    let copy: Copy = serde_json::from_str(&row.course).map_err(Error::internal)?;
    let run: Run = serde_json::from_str(&row.run).map_err(Error::internal)?;
    let Copy { course, calendar, limits_ms, queries } = copy;
    let carried = Carried { key: row.key.clone(), flag: row.flag.clone(), course, calendar, limits_ms, queries };
    Ok(Stored { head: row.head(), carried: Arc::new(carried), run })
}
