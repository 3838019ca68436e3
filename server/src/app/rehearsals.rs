//! What a plan would do, before it does it: predictions and rehearsals. Nothing is read or written but the plan.

use std::{borrow::Cow, sync::Arc};

use storyflag_release::{
    PlanCalendar,
    machine::{Course, Prediction, Profile, Rehearsal, SplitMix, Traffic, predict, rehearse},
    plan::Plan,
};

use super::App;
use crate::error::Error;

/// How many rehearsals a node plays at once.
pub(super) const REHEARSALS_AT_ONCE: usize = 2;

/// How a rehearsal is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct RehearsalAsk {
    /// Stated traffic, and what goes wrong.
    pub profile: Profile,
    /// The same seed gives the same rehearsal.
    pub seed: u32,
    /// When it begins, in epoch milliseconds: the calendar wants to know.
    pub start_ms: i64,
}

/// A plan that was played through.
#[derive(Debug, Clone, PartialEq)]
pub struct Rehearsed {
    /// What was carried out.
    pub course: Course,
    /// How it went.
    pub rehearsal: Rehearsal,
}

/// Plays a plan through. Takes a processor for up to seconds.
pub fn rehearse_plan(plan: &Plan, ask: &RehearsalAsk) -> Rehearsed {
    let course = Course::of(plan, &plan.plan);
    let calendar = PlanCalendar { calendar: Cow::Borrowed(&plan.calendar), freezes: Cow::default() };
    let mut generator = SplitMix(u64::from(ask.seed));
    let rehearsal = rehearse(&course, &ask.profile, &calendar, ask.start_ms, &mut || generator.draw());
    Rehearsed { course, rehearsal }
}

/// What each step of a plan can see of this traffic.
pub fn predict_plan(plan: &Plan, traffic: &Traffic) -> (Course, Vec<Prediction>) {
    let course = Course::of(plan, &plan.plan);
    let predictions = predict(&course, traffic);
    (course, predictions)
}

impl App {
    /// Plays a stored plan through.
    ///
    /// # Errors
    /// 404; 422 for what cannot be executed here; the database away.
    pub async fn rehearse_plan(&self, project: &str, key: &str, ask: RehearsalAsk) -> Result<Rehearsed, Error> {
        let plan = self.find_plan(project, key).await?.executable()?;
        let turn = Arc::clone(&self.rehearsing).acquire_owned().await.map_err(Error::internal)?;
        // Off the threads that answer everybody else; one that nobody waits for any more keeps its turn until it is over.
        let played = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            rehearse_plan(&plan, &ask)
        });
        played.await.map_err(Error::internal)
    }

    /// What each step of a stored plan can see of this traffic.
    ///
    /// # Errors
    /// 404; 422 for what cannot be executed here; the database away.
    pub async fn predict_plan(&self, project: &str, key: &str, traffic: &Traffic) -> Result<(Course, Vec<Prediction>), Error> {
        let plan = self.find_plan(project, key).await?.executable()?;
        Ok(predict_plan(&plan, traffic))
    }
}
