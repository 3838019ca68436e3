//! What a plan would do, before it does it: how soon each step would notice trouble, and a whole release played through.

use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use storyflag_evaluation::Fault;
use storyflag_release::{
    machine::{Course, Notice, NoticeKind, Phase, Prediction, Profile, Record, Step, Traffic, Trouble},
    plan::Span,
};
use utoipa::ToSchema;

use super::{
    body::{Answer, At, Body},
    fields::{Fields, FromJson},
    plans::PlanPath,
    problems::ReadProblems,
    time,
};
use crate::{
    app::{App, RehearsalAsk, Rehearsed, now_ms},
    auth::Caller,
    error::Error,
};

/// More than one flag sees anywhere; a rehearsal's time does not depend on it, its arithmetic does.
const MOST_REQUESTS_PER_S: f64 = 1_000_000.0;
const MOST_UNITS: i64 = 1_000_000_000;

/// Traffic of a flag.
#[derive(Debug, Default, ToSchema)]
#[schema(example = json!({"requests_per_s": 20, "error_percentage": 0.5}))]
pub struct TrafficBody {
    /// Requests a second of everyone who is not in by cohort.
    pub requests_per_s: f64,
    /// Requests a second of those who are in by cohort; 0 unless given.
    pub cohort_requests_per_s: Option<f64>,
    /// Errors of all requests, in percent; 0.5 unless given.
    pub error_percentage: Option<f64>,
}

impl FromJson for TrafficBody {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut fields = Fields::of(value, at, faults)?;
        if !fields.has("requests_per_s") {
            fields.fault("requests_per_s", "is missing: how many requests a second does the flag see?");
        }
        let body = Self {
            requests_per_s: number(&mut fields, "requests_per_s", MOST_REQUESTS_PER_S).unwrap_or_default(),
            cohort_requests_per_s: number(&mut fields, "cohort_requests_per_s", MOST_REQUESTS_PER_S),
            error_percentage: number(&mut fields, "error_percentage", 100.0),
        };
        fields.end();
        Some(body)
    }
}

/// Traffic of a flag, and what goes wrong with who is in.
#[derive(Debug, Default, ToSchema)]
#[schema(example = json!({"requests_per_s": 200, "error_percentage": 0.5, "trouble": {"after": "20m", "error_percentage": 4.5}, "seed": 1}))]
pub struct RehearsalBody {
    /// Requests a second of everyone; 200 unless given.
    pub requests_per_s: Option<f64>,
    /// How far a day's wave takes that up and down, in percent; 50 unless given.
    pub wave_percentage: Option<f64>,
    /// How many units there are; 1,000,000 unless given.
    pub units: Option<i64>,
    /// Errors of all requests, in percent; 0.5 unless given.
    pub error_percentage: Option<f64>,
    /// Units whose every request fails, in percent; 0 unless given.
    pub failing_units_percentage: Option<f64>,
    /// Requests that are slower than the plan's limits, in percent; 2 unless given.
    pub slow_percentage: Option<f64>,
    /// What goes wrong with who is in; nothing unless given.
    pub trouble: Option<TroubleBody>,
    /// The same seed gives the same rehearsal; 1 unless given.
    pub seed: Option<u32>,
    /// When it begins, RFC 3339: the calendar wants to know. Now unless given.
    #[schema(value_type = Option<String>)]
    pub start_at: Option<i64>,
}

/// What goes wrong with who is in, on top of what everyone has.
#[derive(Debug, Default, ToSchema)]
pub struct TroubleBody {
    /// So long after the start, such as `20m`; from the start unless given.
    #[schema(value_type = Option<String>)]
    pub after: Option<Span>,
    /// Further errors, in percent.
    pub error_percentage: Option<f64>,
    /// Further units whose every request fails, in percent.
    pub failing_units_percentage: Option<f64>,
    /// Further slow requests, in percent.
    pub slow_percentage: Option<f64>,
}

impl FromJson for RehearsalBody {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut fields = Fields::of(value, at, faults)?;
        let units = fields.optional::<i64>("units").filter(|units| {
            let fits = (1..=MOST_UNITS).contains(units);
            if !fits {
                fields.fault("units", format!("is {units}; it must be 1 to {MOST_UNITS}"));
            }
            fits
        });
        let seed = fields.optional::<i64>("seed").and_then(|seed| {
            u32::try_from(seed).map_err(|_| fields.fault("seed", format!("is {seed}; it must be 0 to {}", u32::MAX))).ok()
        });
        let start_at = fields.optional::<String>("start_at").and_then(|text| {
            let moment = text.parse::<jiff::Timestamp>();
            let detail = || format!("is {text:?}, not a time such as 2026-12-01T14:03:00Z");
            moment.map_err(|_| fields.fault("start_at", detail())).ok().map(jiff::Timestamp::as_millisecond)
        });
        let body = Self {
            requests_per_s: number(&mut fields, "requests_per_s", MOST_REQUESTS_PER_S),
            wave_percentage: number(&mut fields, "wave_percentage", 100.0),
            units,
            error_percentage: number(&mut fields, "error_percentage", 100.0),
            failing_units_percentage: number(&mut fields, "failing_units_percentage", 100.0),
            slow_percentage: number(&mut fields, "slow_percentage", 100.0),
            trouble: fields.optional("trouble"),
            seed,
            start_at,
        };
        fields.end();
        Some(body)
    }
}

impl FromJson for TroubleBody {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut fields = Fields::of(value, at, faults)?;
        let after = fields.optional::<String>("after").and_then(|text| {
            let span = text.parse::<Span>();
            span.map_err(|why| fields.fault("after", format!("is {text:?}: {why}"))).ok()
        });
        let body = Self {
            after,
            error_percentage: number(&mut fields, "error_percentage", 100.0),
            failing_units_percentage: number(&mut fields, "failing_units_percentage", 100.0),
            slow_percentage: number(&mut fields, "slow_percentage", 100.0),
        };
        fields.end();
        Some(body)
    }
}

/// A number from 0 to `most`.
fn number(fields: &mut Fields<'_>, name: &'static str, most: f64) -> Option<f64> {
    let number: f64 = fields.optional(name)?;
    if (0.0..=most).contains(&number) {
        return Some(number);
    }
    fields.fault(name, format!("is {number}; it must be 0 to {most}"));
    None
}

fn share(percentage: Option<f64>, default: f64) -> f64 {
    percentage.map_or(default, |percentage| percentage / 100.0)
}

impl TrafficBody {
    /// As the kernel reckons with it.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            requests_per_s: self.requests_per_s,
            cohort_requests_per_s: self.cohort_requests_per_s.unwrap_or_default(),
            error_rate: share(self.error_percentage, Profile::default().error_rate),
        }
    }
}

impl RehearsalBody {
    /// As the kernel plays it, from `now` unless it says when.
    pub fn ask(&self, now: i64) -> RehearsalAsk {
        let usual = Profile::default();
        let trouble = self.trouble.as_ref().map(|trouble| Trouble {
            from_ms: trouble.after.map_or(0, |after| i64::try_from(after.millis()).unwrap_or(i64::MAX)),
            error_rate: share(trouble.error_percentage, 0.0),
            failing_units: share(trouble.failing_units_percentage, 0.0),
            slow_rate: share(trouble.slow_percentage, 0.0),
        });
        let profile = Profile {
            requests_per_s: self.requests_per_s.unwrap_or(usual.requests_per_s),
            wave: share(self.wave_percentage, usual.wave),
            units: self.units.and_then(|units| u64::try_from(units).ok()).unwrap_or(usual.units),
            error_rate: share(self.error_percentage, usual.error_rate),
            failing_units: share(self.failing_units_percentage, usual.failing_units),
            slow_rate: share(self.slow_percentage, usual.slow_rate),
            trouble,
            ..usual
        };
        RehearsalAsk { profile, seed: self.seed.unwrap_or(1), start_ms: self.start_at.unwrap_or(now) }
    }
}

/// What each step of a plan can see.
#[derive(Debug, Serialize, ToSchema)]
pub struct PredictionList {
    /// In order.
    pub steps: Vec<PredictionView>,
}

/// What one step can see. About half of all troubles are noticed sooner, 95 % within about twice the time.
#[derive(Debug, Serialize, ToSchema)]
pub struct PredictionView {
    /// From 1.
    pub step: usize,
    /// Its percentage.
    pub percentage: f64,
    /// How long it is watched.
    pub bake_ms: i64,
    /// About how long until errors ten times as frequent turn it back; null: never.
    pub spike_ms: Option<i64>,
    /// About how long until the failure of every request does; null: never.
    pub total_failure_ms: Option<i64>,
    /// How long until it is shown that the limits on errors hold; null: never.
    pub proof_ms: Option<i64>,
    /// What the step is too small for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// How a rehearsal went.
#[derive(Debug, Serialize, ToSchema)]
pub struct RehearsalView {
    /// `completed`, `rolled back`, or what it was still doing after ten days.
    pub outcome: String,
    /// Why it was turned back: the evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// `met`, `not met`, `not proven`: what the targets say of what was completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub targets: Option<&'static str>,
    /// When it began.
    pub start_at: String,
    /// How long it took.
    pub took_ms: i64,
    /// The same seed gives the same rehearsal.
    pub seed: u32,
    /// Requests of who was in, in the last step.
    pub treatment_requests: u64,
    /// What happened, in order.
    pub timeline: Vec<MomentView>,
    /// What people would have been told.
    pub notices: Vec<NoticeView>,
}

/// One transition.
#[derive(Debug, Serialize, ToSchema)]
pub struct MomentView {
    /// When.
    pub at: String,
    /// So long after the start.
    pub after_ms: i64,
    /// The step, from 1.
    pub step: usize,
    /// Its percentage.
    pub percentage: f64,
    /// What it was doing.
    pub from: String,
    /// What it does from here on.
    pub to: String,
    /// Who asked for it; missing where the machine decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// What it rests on.
    pub evidence: String,
}

/// One message.
#[derive(Debug, Serialize, ToSchema)]
pub struct NoticeView {
    /// What it is: `transition`, `alert`, `escalation`, `announcement`, `status`, `completion`, `report`.
    #[schema(value_type = String)]
    pub kind: NoticeKind,
    /// To whom: `team`, `on_call`, `stakeholders`.
    pub to: String,
    /// What is said.
    pub text: String,
}

/// Predicts how soon each step of a plan would notice trouble
#[utoipa::path(post, path = "/api/v1/projects/{project}/plans/{plan}/predict", tag = "plans", params(PlanPath), request_body = TrafficBody,
    responses((status = 200, body = PredictionList), ReadProblems))]
pub async fn predict_plan(
    State(app): State<App>,
    _: Caller,
    At(at): At<PlanPath>,
    Body(body): Body<TrafficBody>,
) -> Result<Answer<PredictionList>, Error> {
    let (course, predictions) = app.predict_plan(&at.project, &at.plan, &body.traffic()).await?;
    Ok(Answer::ok(predicted(&course, predictions)))
}

/// Plays a plan through against stated traffic: the machine that carries releases out, without its clock
///
/// What waits for approval is approved at once, and check boxes count as ticked.
#[utoipa::path(post, path = "/api/v1/projects/{project}/plans/{plan}/rehearse", tag = "plans", params(PlanPath), request_body = RehearsalBody,
    responses((status = 200, body = RehearsalView), ReadProblems))]
pub async fn rehearse_plan(
    State(app): State<App>,
    _: Caller,
    At(at): At<PlanPath>,
    Body(body): Body<RehearsalBody>,
) -> Result<Answer<RehearsalView>, Error> {
    let ask = body.ask(now_ms());
    let rehearsed = app.rehearse_plan(&at.project, &at.plan, ask.clone()).await?;
    Ok(Answer::ok(rehearsal(&rehearsed, &ask)))
}

/// What is told of predictions.
pub(crate) fn predicted(course: &Course, predictions: Vec<Prediction>) -> PredictionList {
    let view = |prediction: Prediction| PredictionView {
        step: prediction.step.saturating_add(1),
        percentage: prediction.percentage.percent(),
        bake_ms: course.steps.get(prediction.step).map_or(0, Step::bake),
        spike_ms: prediction.spike_ms,
        total_failure_ms: prediction.total_failure_ms,
        proof_ms: prediction.proof_ms,
        warning: prediction.warning,
    };
    PredictionList { steps: predictions.into_iter().map(view).collect() }
}

/// What is told of a rehearsal.
pub(crate) fn rehearsal(rehearsed: &Rehearsed, ask: &RehearsalAsk) -> RehearsalView {
    let Rehearsed { course, rehearsal } = rehearsed;
    let moment = |record: &Record| MomentView {
        at: time(record.at_ms),
        after_ms: record.at_ms.saturating_sub(ask.start_ms),
        step: record.step.saturating_add(1),
        percentage: course.steps.get(record.step).map_or(0.0, |step| step.percentage.percent()),
        from: record.from.clone(),
        to: record.to.clone(),
        actor: record.actor.clone(),
        evidence: record.evidence.clone(),
    };
    let notice = |notice: &Notice| NoticeView { kind: notice.kind, to: notice.to.clone(), text: notice.text.clone() };
    let phase = &rehearsal.state.phase;
    RehearsalView {
        outcome: phase.name().to_owned(),
        cause: match phase {
            Phase::RolledBack { cause, .. } | Phase::RollingBack { cause, .. } => Some(cause.line()),
            _ => None,
        },
        targets: match phase {
            Phase::Completed { targets } => Some(targets.name()),
            _ => None,
        },
        start_at: time(ask.start_ms),
        took_ms: rehearsal.took_ms,
        seed: ask.seed,
        treatment_requests: rehearsal.treatment_requests,
        timeline: rehearsal.records.iter().map(moment).collect(),
        notices: rehearsal.notices.iter().map(notice).collect(),
    }
}
