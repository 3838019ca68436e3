//! "Was user-42 in at 14:03, and why?" Now is answered from memory, the past from history.

use std::sync::Arc;

use storyflag_evaluation::{
    CohortItem, CohortList, Context, Evaluation, Identity, ItemKind, NotGiven, Percentage, Reason, Ruleset, Value, unit_hash,
};

use super::{App, Place, now_ms};
use crate::{error::Error, store::ChangeRow};

/// How far the clock of who asks may be ahead.
const CLOCKS_APART_MS: i64 = 5_000;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// For whom.
    pub context: Context,
    /// When, in epoch milliseconds; none: now.
    pub at: Option<i64>,
}

/// The answers of one ruleset.
#[derive(Debug, Clone)]
pub struct Explained {
    /// The revision that answered.
    pub revision: u64,
    /// Which flags answered what, by key.
    pub answers: Vec<Explanation>,
}

/// What a flag answers, and why.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The flag's key.
    pub flag: String,
    /// What is served; none: the caller's default.
    pub value: Option<serde_json::Value>,
    /// Its name.
    pub variant: Option<String>,
    /// Why.
    pub reason: Reason,
    /// Whether it is killed: with DISABLED, what else it could be is not enabled.
    pub killed: bool,
    /// What went wrong.
    pub error: Option<&'static str>,
    /// The rule that decided.
    pub rule: Option<String>,
    /// The unit's bucket, where the rollout looked at it.
    pub bucket: Option<u32>,
    /// Where it stands in an experiment's sense.
    pub arm: &'static str,
    /// The least percentage at which the unit is in by bucket; none without a unit.
    pub enters_at: Option<Percentage>,
    /// What rules and cohorts looked at and was not there.
    pub not_given: NotGiven,
}

impl App {
    /// What a flag answers for a context, and why.
    ///
    /// # Errors
    /// 404; the database away, for the past.
    pub async fn explain(&self, place: &Place, flag: &str, question: &Question) -> Result<Explained, Error> {
        let ruleset = self.ruleset_at(place, question).await?;
        // In the past there may have been no such flag, and that is the answer; a key that never was is a mistyped one.
        if ruleset.flag(flag).is_none() && (question.at.is_none() || self.store.find_flag(place.project.id, flag).await?.is_none()) {
            return Err(self.or_near(Error::no_such("flag", flag), place, flag).await);
        }
        let answer = ruleset.evaluate(flag, &question.context);
        let answers = vec![explanation(flag, &answer, &ruleset, &question.context)];
        Ok(Explained { revision: ruleset.identity().revision, answers })
    }

    /// What every flag answers for a context.
    ///
    /// # Errors
    /// The database away, for the past.
    pub async fn explain_all(&self, place: &Place, question: &Question) -> Result<Explained, Error> {
        let ruleset = self.ruleset_at(place, question).await?;
        let context = &question.context;
        let answers = ruleset.evaluate_all(context).map(|(flag, answer)| explanation(flag, &answer, &ruleset, context));
        let mut answers: Vec<Explanation> = answers.collect();
        answers.sort_unstable_by(|left, right| left.flag.cmp(&right.flag));
        Ok(Explained { revision: ruleset.identity().revision, answers })
    }

    async fn ruleset_at(&self, place: &Place, question: &Question) -> Result<Arc<Ruleset>, Error> {
        let environment = place.environment.id;
        let Some(at) = question.at else {
            return Ok(self.hub.environment(environment).ok_or(Error::Unavailable { retry_after: 1 })?.ruleset());
        };
        if at > now_ms().saturating_add(CLOCKS_APART_MS) {
            return Err(Error::invalid("/at", "is in the future, of which nobody knows"));
        }
        let Some(revision) = self.store.revision_at(environment, at).await? else {
            return Ok(Arc::new(Ruleset::empty()));
        };
        let items = self.store.items_at(environment, revision).await?;
        self.ruleset_of(environment, revision, &items, &question.context).await.map(Arc::new)
    }

    /// A ruleset of the past, with as much of each cohort's list as this context can ask for: whether its own unit was in.
    async fn ruleset_of(&self, environment: i64, revision: i64, items: &[ChangeRow], context: &Context) -> Result<Ruleset, Error> {
        let texts = |kind: ItemKind| -> Vec<&str> {
            items.iter().filter(|row| row.kind == kind.name()).filter_map(|row| row.after.as_deref()).collect()
        };
        let cohorts = texts(ItemKind::Cohort);
        let identity = Identity { revision: u64::try_from(revision).unwrap_or_default(), ..Identity::default() };
        let mut ruleset = Ruleset::compile(identity, &texts(ItemKind::Flag), &cohorts, None);
        for text in cohorts {
            let item: CohortItem = serde_json::from_str(text).map_err(Error::internal)?;
            let (Some(reference), Some(unit)) = (&item.list, context.unit_of(&item.unit)) else { continue };
            let Some(row) = self.store.find_cohort(environment, &item.key).await? else { continue };
            let was_in = self.store.was_member(row.id, &unit, revision).await?;
            let hashes = if was_in { vec![unit_hash(unit.as_bytes(), item.seed)] } else { Vec::new() };
            ruleset = ruleset.with_list(&item.key, &reference.digest, Arc::new(CohortList::from_hashes(hashes)));
        }
        Ok(ruleset)
    }
}

fn explanation(flag: &str, answer: &Evaluation<'_>, ruleset: &Ruleset, context: &Context) -> Explanation {
    let view = ruleset.flag(flag);
    let bucket = view.and_then(|view| view.bucket(context));
    Explanation {
        flag: flag.to_owned(),
        value: answer.value().map(Value::to_json),
        variant: answer.variant().map(str::to_owned),
        reason: answer.reason(),
        killed: view.is_some_and(|view| view.is_killed()),
        error: answer.error().map(|error| error.name()),
        rule: answer.rule().map(str::to_owned),
        bucket: answer.bucket(),
        arm: answer.arm().name(),
        enters_at: bucket.and_then(|bucket| Percentage::from_millionths(bucket.saturating_add(1))),
        not_given: ruleset.not_given(answer, context),
    }
}
