//! **What happened**: a release's report, for people and for machines.
//!
//! [`Report::of`] makes it of what the caller read, at any time: before the start, under way, or after the end. It says only what
//! was counted. Intervals hold at every moment at once, each but with a chance of 5 %; an arm without requests has no rate; a
//! target that is neither shown to hold nor shown to be missed is *not proven*.

mod ends;
mod figures;
mod markdown;
mod outcome;
mod progress;
mod steps;
mod story;
mod tables;
mod told;
mod words;

use serde::Serialize;

pub use ends::{BoxReport, BusinessEvent, Exposed, RollbackReport, TargetReport, TargetsReport, UnitsReport};
pub use figures::{ArmFigures, Comparison, EventFigures, Latencies, Latency, Rate};
pub use progress::figures;
pub use steps::{BakeReport, StepReport};
pub use story::{Approved, Entry, Held, Incident};
pub use told::{ArmSums, Note, NoteKind, Told, Transition, Units};
pub use words::Moment;

use crate::plan::{Entries, Gate};

/// A release's report. Its serde form is what the service answers: times in RFC 3339, spans in milliseconds, shares as fractions of 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// How it ended or stands, in one line: `rolled back at 10 % (step 3 of 5) after 4 min: error_rate 11.9 % ...`.
    pub outcome: String,
    /// The release's id.
    pub release: String,
    /// The environment.
    pub environment: String,
    /// The plan's key.
    pub plan: String,
    /// The story that was released.
    pub story: Option<String>,
    /// The flag.
    pub flag: String,
    /// `scheduled`, `running`, `paused`, `rolling_back`, `rolled_back`, `completed`, `superseded` or `cancelled`.
    pub phase: &'static str,
    /// The same, more closely: `holding: no data`.
    pub state: &'static str,
    /// Whether nothing comes after it.
    pub ended: bool,
    /// When this was written.
    pub written_at: Moment,
    /// The time zone of the plan.
    pub time_zone: String,
    /// When the first step was taken.
    pub started_at: Option<Moment>,
    /// When it came to an end.
    pub ended_at: Option<Moment>,
    /// From the start to the end, or until now.
    pub took_ms: Option<u64>,
    /// By what the plan's times were divided.
    pub time_scale: u32,
    /// Whether anything was watched: false for a plain schedule by time.
    pub watched: bool,
    /// Every step of the plan.
    pub steps: Vec<StepReport>,
    /// What the release should reach.
    pub targets: TargetsReport,
    /// Distinct units ever exposed.
    pub units: Exposed,
    /// What the application tracked, over all steps.
    pub events: Vec<BusinessEvent>,
    /// What people look at themselves, as the plan says.
    pub watch: Vec<String>,
    /// The rollback, if there was one.
    pub rollback: Option<RollbackReport>,
    /// Times in which the release did not go on by itself.
    pub holds: Vec<Held>,
    /// Who let it go on.
    pub approvals: Vec<Approved>,
    /// Alerts, escalations, rollbacks, kills, take-overs.
    pub incidents: Vec<Incident>,
    /// Every check box.
    pub checklist: Vec<BoxReport>,
    /// Boxes of the end that nobody has ticked.
    pub open: Vec<String>,
    /// Everything, in the order of time.
    pub timeline: Vec<Entry>,
    /// What to do by hand, where it was turned back: shown, never executed.
    pub runbook: Entries,
    #[serde(skip)]
    calendar: crate::plan::Calendar,
}

impl Report {
    /// The report of a release as it stands.
    pub fn of(told: &Told) -> Self {
        let (state, plan) = (&told.state, &told.plan);
        let visits = steps::visits(told);
        let exposed = ends::exposed(told, &visits);
        let checklist = ends::checklist(told);
        let is_open = |item: &&BoxReport| item.gate == Gate::Complete && !item.done;
        let open = checklist.iter().filter(is_open).map(|item| item.text.clone()).collect();
        let (rollback, targets) = (ends::rollback(told), ends::targets(told));
        let until_ms = state.ended_ms.unwrap_or(told.now_ms);
        Self {
            outcome: outcome::line(told, &visits, &targets),
            release: told.release.clone(),
            environment: told.environment.clone(),
            plan: plan.plan.clone(),
            story: plan.story.clone(),
            flag: plan.flag.clone(),
            phase: ends::phase(state),
            state: state.phase.name(),
            ended: state.has_ended(),
            written_at: Moment::of(told.now_ms),
            time_zone: plan.calendar.timezone.iana_name().unwrap_or("UTC").to_owned(),
            started_at: state.started_ms.map(Moment::of),
            ended_at: state.ended_ms.map(Moment::of),
            took_ms: state.started_ms.map(|started_ms| words::between(started_ms, until_ms)),
            time_scale: told.time_scale.max(1),
            watched: !told.course.is_plain_schedule(),
            steps: steps::reports(told),
            targets,
            events: ends::events(told, &visits, &exposed),
            units: exposed,
            watch: plan.watch.clone(),
            holds: story::holds(told),
            approvals: story::approvals(told),
            incidents: story::incidents(told),
            checklist,
            open,
            timeline: story::timeline(told),
            runbook: if rollback.is_some() { plan.runbook.clone() } else { Entries::default() },
            rollback,
            calendar: plan.calendar.clone(),
        }
    }

    /// One line for a message: the release and its outcome.
    pub fn summary(&self) -> String {
        format!("{}: {}", self.release, self.outcome)
    }

    /// A document for people. What others wrote stays text in it.
    pub fn markdown(&self) -> String {
        markdown::write(self)
    }
}
