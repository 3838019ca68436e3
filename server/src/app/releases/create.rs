//! A release comes to be.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;
use storyflag_evaluation::{Fault, FlagItem, Identity, ItemKind, Percentage, Watch};
use storyflag_release::{
    machine::{State, Ticked},
    plan::Plan,
    run::Run,
};

use super::{copy::Copy, phase_name};
use crate::{
    app::{
        App, Ask, Done, Place,
        items::{decode, encode, refuse},
        plans::StoredPlan,
        targetings::reason_given,
        write::Write,
    },
    auth::Right,
    error::Error,
    store::{EnvironmentRow, ReleaseRow},
};

/// The most that times are divided by.
const MOST_TIME_SCALE: u32 = 10_000;

/// What a POST of a release says.
#[derive(Debug, Clone)]
pub struct NewRelease {
    /// The plan's key.
    pub plan: String,
    /// When it starts by itself.
    pub start_at: Option<Timestamp>,
    /// The percentage of the step to begin with.
    pub from: Option<Percentage>,
    /// By what the plan's times are divided.
    pub time_scale: Option<u32>,
}

impl App {
    /// Creates a release of a plan. It waits for its start.
    ///
    /// # Errors
    /// 403, 404, 409, 422 with every fault; the database away.
    pub async fn create_release(&self, ask: &Ask, place: &Place, new: NewRelease) -> Result<Done<ReleaseRow>, Error> {
        ask.caller.may(Right::Change, &place.project.key, &place.environment)?;
        let plan = self.find_plan(&place.project.key, &new.plan).await.map_err(|error| match error {
            Error::NotFound(why) => Error::invalid("/plan", format!("{why} in this project: `storyflag plan put` brings one here")),
            other => other,
        })?;
        let (row, warnings) = (plan.row.clone(), plan.warnings.clone());
        let assumed = plan.reading.assumed.iter().map(|assumed| format!("assumed: {assumed}"));
        let warnings: Vec<String> = warnings.into_iter().chain(assumed).collect();
        let executable = StoredPlan::executable(plan)?;
        let mut write = Write::begin(self, ask).await?;
        let environment = write.lock(place.environment.id).await?;
        ask.caller.may(Right::Change, &place.project.key, &environment)?;
        reason_given(ask, &environment)?;
        if let Some(live) = write.tx.find_live_release(environment.id, &executable.flag).await? {
            let detail = format!("{} of flag {:?} has not ended: {} it first", live.key, live.flag, way_out(&live));
            return Err(Error::conflict("/plan", detail));
        }
        let number = write.tx.count_releases(environment.id, &row.entry.key).await?.saturating_add(1);
        let key = format!("{}-{number}", row.entry.key);
        let copy = Copy::of(&executable, &key, new.time_scale.filter(|time_scale| *time_scale != 1))?;
        refuse(self.faults(&mut write, &environment, &executable, &new).await?)?;
        let (written, killed) = watch(&mut write, ask, &environment, &executable.flag, &copy).await?;
        let mut state = first_state(&executable, &new, &row.entry.updated_by, write.now);
        // A kill after this cancels, whichever node sees it, and whether or not one looked before it.
        state.was_killed = Some(killed);
        let mut run = Run::scheduled(state, written, write.now);
        run.cursors = write.tx.node_seconds(environment.id).await?.into_iter().collect::<BTreeMap<_, _>>();
        let mut release = ReleaseRow {
            id: 0,
            environment: environment.id,
            key: key.clone(),
            plan: row.entry.key.clone(),
            flag: executable.flag.clone(),
            media: row.entry.media.clone(),
            document: row.document.clone(),
            plan_version: row.entry.version,
            course: serde_json::to_string(&copy).map_err(Error::internal)?,
            time_scale: i64::from(new.time_scale.unwrap_or(1)),
            run: serde_json::to_string(&run).map_err(Error::internal)?,
            number: 0,
            snapshot: 0,
            phase: phase_name(&run.state.phase).to_owned(),
            live: true,
            watching: true,
            created_at: write.now,
            created_by: ask.caller.subject.clone(),
            ended_at: None,
        };
        release.id = write.tx.insert_release(&release).await?;
        let audit = json!({ "plan": release.plan, "flag": release.flag, "time_scale": release.time_scale });
        write.audit(place.project.id, Some(environment.id), "release", &key, Some(audit.to_string()));
        let revision = write.commit().await?;
        Ok(Done { before: None, after: release, revision, changed: true, warnings })
    }

    async fn faults(
        &self,
        write: &mut Write<'_>,
        environment: &EnvironmentRow,
        plan: &Plan,
        new: &NewRelease,
    ) -> Result<Vec<Fault>, Error> {
        let mut faults = Vec::new();
        let mut fault = |pointer: &str, detail: String| faults.push(Fault { pointer: pointer.to_owned(), detail });
        if let Some(time_scale) = new.time_scale {
            if environment.protected {
                let detail = format!("divides the plan's times, and environment {:?} is protected: leave it out", environment.key);
                fault("/time_scale", detail);
            } else if !(1..=MOST_TIME_SCALE).contains(&time_scale) {
                fault("/time_scale", format!("is {time_scale}; 1 to {MOST_TIME_SCALE}"));
            }
        }
        if let Some(from) = new.from.filter(|from| step_of(plan, *from).is_none()) {
            let steps: Vec<String> = plan.steps.iter().map(|step| step.percentage.percent().to_string()).collect();
            fault("/from", format!("is {}, and no step goes there: one of {}", from.percent(), steps.join(", ")));
        }
        for cohort in plan.steps.iter().flat_map(|step| &step.cohorts) {
            let known = write.tx.find_cohort(environment.id, cohort).await?.filter(|row| row.deleted_at.is_none());
            if known.is_none() {
                let detail = format!(
                    "names cohort {cohort:?}, which is not in environment {:?}: `storyflag cohorts put {cohort}` makes it",
                    environment.key
                );
                fault("/plan", detail);
            }
        }
        Ok(faults)
    }
}

/// The index of the step that goes to a percentage.
pub(super) fn step_of(plan: &Plan, percentage: Percentage) -> Option<usize> {
    plan.steps.iter().position(|step| step.percentage == percentage)
}

fn way_out(live: &ReleaseRow) -> &'static str {
    if live.phase == "scheduled" { "cancel" } else { "roll back or finish" }
}

/// Boxes that the document shows ticked are ticked.
fn first_state(plan: &Plan, new: &NewRelease, by: &str, now: i64) -> State {
    let mut state = State::scheduled(new.start_at.map(Timestamp::as_millisecond));
    state.from = new.from.and_then(|from| step_of(plan, from));
    let items = plan.checklists.iter().flat_map(|list| &list.items).enumerate();
    state.ticks = items.filter(|(_, item)| item.done).map(|(index, _)| (index, Ticked { by: by.to_owned(), at_ms: now })).collect();
    state
}

/// Marks the flag as watched: from now on SDKs report how its requests went. Whether it is killed.
async fn watch(write: &mut Write<'_>, ask: &Ask, environment: &EnvironmentRow, flag: &str, copy: &Copy) -> Result<(Identity, bool), Error> {
    let Some(targeting) = write.tx.find_targeting(environment.id, flag).await? else {
        return Err(Error::invalid("/plan", format!("drives flag {flag:?}, which is not there: `storyflag flags create {flag}` makes it")));
    };
    let item = decode(&targeting.item)?;
    let revision = environment.identity().revision;
    let item = FlagItem { watch: Some(Watch { rollout_revision: revision, limits_ms: copy.limits_ms().to_vec() }), ..item };
    let text = encode(&item)?;
    write.put(environment.id, ItemKind::Flag, flag, Some(&targeting.item), Some(text.clone()))?;
    write.tx.update_targeting(environment.id, flag, &text, write.now, &ask.caller.subject).await?;
    Ok((environment.identity(), item.killed))
}
