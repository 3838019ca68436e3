//! `storyflag rehearse` and `storyflag predict`: what a plan would do, before it does it. Of a file, without the service.

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value, json};
use storyflag_release::plan::Plan;

use super::{
    Said,
    client::{Answer, Query, Target},
    failure::Failure,
    plans::file_of,
    rollout::percent,
    table::{Table, counted, grouped, lasting, plain},
};
use crate::{
    api::{
        fields::FromJson,
        rehearsals::{RehearsalBody, TrafficBody, predicted, rehearsal},
    },
    app::{now_ms, predict_plan, rehearse_plan},
};

#[derive(Debug, Args)]
pub(super) struct RehearseArgs {
    /// A plan's key, or a file such as plan.md
    plan: String,
    /// Requests a second of everyone; 200 unless given
    #[arg(long, value_name = "NUMBER", value_parser = percent)]
    requests_per_second: Option<Number>,
    /// How many users there are; 1,000,000 unless given
    #[arg(long, value_name = "NUMBER")]
    users: Option<u64>,
    /// Requests that fail, in percent; 0.5 unless given
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    errors: Option<Number>,
    /// Requests that are slower than the plan's limits, in percent; 2 unless given
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    slow: Option<Number>,
    /// Further requests of those who are in that fail, in percent
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    trouble_errors: Option<Number>,
    /// Further requests of those who are in that are slow, in percent
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    trouble_slow: Option<Number>,
    /// Users who are in and whose every request fails, in percent
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    trouble_users: Option<Number>,
    /// When the trouble begins, such as 20m after the start; with the first step unless given
    #[arg(long, value_name = "SPAN")]
    trouble_after: Option<String>,
    /// When it begins, such as 2026-12-01T14:00:00Z: the plan's calendar wants to know; now unless given
    #[arg(long, value_name = "TIME")]
    start_at: Option<String>,
    /// The same seed gives the same rehearsal; 1 unless given
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u32>,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
pub(super) struct PredictArgs {
    /// A plan's key, or a file such as plan.md
    plan: String,
    /// Requests a second that the flag sees today
    #[arg(long, value_name = "NUMBER", value_parser = percent)]
    requests_per_second: Number,
    /// Requests a second of those who are in by cohort; 0 unless given
    #[arg(long, value_name = "NUMBER", value_parser = percent)]
    cohort_requests_per_second: Option<Number>,
    /// Requests that fail today, in percent; 0.5 unless given
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    errors: Option<Number>,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Deserialize)]
struct Rehearsal {
    outcome: String,
    cause: Option<String>,
    targets: Option<String>,
    took_ms: i64,
    seed: u32,
    treatment_requests: u64,
    timeline: Vec<Moment>,
    notices: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct Moment {
    at: String,
    after_ms: i64,
    step: u64,
    percentage: f64,
    to: String,
    evidence: String,
}

#[derive(Debug, Deserialize)]
struct Predictions {
    steps: Vec<Prediction>,
}

#[derive(Debug, Deserialize)]
struct Prediction {
    step: u64,
    percentage: f64,
    bake_ms: i64,
    spike_ms: Option<i64>,
    total_failure_ms: Option<i64>,
    proof_ms: Option<i64>,
    warning: Option<String>,
}

pub(super) fn rehearse(args: &RehearseArgs) -> Result<Said, Failure> {
    let answer = asked(&args.plan, "rehearse", &args.body(), &args.target, |plan, body: &RehearsalBody| {
        let ask = body.ask(now_ms());
        rehearsal(&rehearse_plan(plan, &ask), &ask)
    })?;
    if args.target.json { Ok(Said::json(&[answer])) } else { Ok(Said::out(rehearsal_in_words(&args.plan, &answer.read()?))) }
}

pub(super) fn predict(args: &PredictArgs) -> Result<Said, Failure> {
    let answer = asked(&args.plan, "predict", &args.body(), &args.target, |plan, body: &TrafficBody| {
        let (course, predictions) = predict_plan(plan, &body.traffic());
        predicted(&course, predictions)
    })?;
    if args.target.json { Ok(Said::json(&[answer])) } else { Ok(Said::out(predictions_in_words(&answer.read()?))) }
}

/// Asks the service about a key; of a file, the same is reckoned here.
fn asked<B: FromJson, V: Serialize>(
    what: &str,
    question: &str,
    body: &Value,
    target: &Target,
    here: impl FnOnce(&Plan, &B) -> V,
) -> Result<Answer, Failure> {
    let Some(file) = file_of(what)? else {
        return target.client()?.send("POST", &target.in_project(&["plans", what, question]), &Query::default(), body);
    };
    let mut faults = Vec::new();
    let read = B::from_json(body, "", &mut faults).filter(|_| faults.is_empty());
    let Some(read) = read else {
        let faults: Vec<String> = faults.iter().map(|fault| format!("{} {}", fault.pointer, fault.detail)).collect();
        return Err(Failure::usage(faults.join("\n")));
    };
    let told = here(&file.executable(target.json)?, &read);
    let text = serde_json::to_string(&told).map_err(|error| Failure::refused(error.to_string()))?;
    Ok(Answer { status: 200, text })
}

/// Only what was said.
fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    Value::Object(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect::<Map<_, _>>())
}

fn number(number: &Option<Number>) -> Option<Value> {
    number.clone().map(Value::Number)
}

impl RehearseArgs {
    fn body(&self) -> Value {
        let trouble = object([
            ("after", self.trouble_after.clone().map(Value::String)),
            ("error_percentage", number(&self.trouble_errors)),
            ("slow_percentage", number(&self.trouble_slow)),
            ("failing_units_percentage", number(&self.trouble_users)),
        ]);
        let is_well = trouble.as_object().is_some_and(Map::is_empty);
        object([
            ("requests_per_s", number(&self.requests_per_second)),
            ("units", self.users.map(|users| json!(users))),
            ("error_percentage", number(&self.errors)),
            ("slow_percentage", number(&self.slow)),
            ("trouble", (!is_well).then_some(trouble)),
            ("start_at", self.start_at.clone().map(Value::String)),
            ("seed", self.seed.map(|seed| json!(seed))),
        ])
    }
}

impl PredictArgs {
    fn body(&self) -> Value {
        object([
            ("requests_per_s", Some(Value::Number(self.requests_per_second.clone()))),
            ("cohort_requests_per_s", number(&self.cohort_requests_per_second)),
            ("error_percentage", number(&self.errors)),
        ])
    }
}

fn rehearsal_in_words(plan: &str, told: &Rehearsal) -> String {
    let mut table = Table::new(["WHEN", "AFTER", "STEP", "PERCENT", "WHAT", "WHY"]);
    for moment in &told.timeline {
        let percentage = format!("{} %", moment.percentage);
        let when = moment.at.split_once('.').map_or(moment.at.clone(), |(whole, _)| format!("{whole}Z"));
        let evidence = moment.evidence.clone();
        table.row([when, lasting(moment.after_ms), moment.step.to_string(), percentage, moment.to.clone(), evidence]);
    }
    let mut text = table.render();
    let targets = told.targets.as_ref().map(|targets| format!(", targets {targets}")).unwrap_or_default();
    let (outcome, took) = (plain(&told.outcome), lasting(told.took_ms));
    text.push_str(&format!("{}: {outcome} after {took}{targets}  (seed {})\n", plain(plan), told.seed));
    if let Some(cause) = &told.cause {
        text.push_str(&format!("because: {}\n", plain(cause)));
    }
    let messages = counted(u64::try_from(told.notices.len()).unwrap_or(u64::MAX), "message");
    text.push_str(&format!("{} requests of who was in at the last step; {messages} to people\n", grouped(told.treatment_requests)));
    text
}

fn predictions_in_words(told: &Predictions) -> String {
    let mut table = Table::new(["STEP", "PERCENT", "BAKE", "10x ERRORS", "TOTAL FAILURE", "LIMITS SHOWN", "WARNING"]);
    let within = |ms: Option<i64>| ms.map_or_else(|| "never".to_owned(), lasting);
    for step in &told.steps {
        table.row([
            step.step.to_string(),
            format!("{} %", step.percentage),
            lasting(step.bake_ms),
            within(step.spike_ms),
            within(step.total_failure_ms),
            within(step.proof_ms),
            step.warning.clone().unwrap_or_default(),
        ]);
    }
    table.render()
}
