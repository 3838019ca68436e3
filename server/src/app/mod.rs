//! Use cases, one file a noun: check, change in one transaction, publish. **The only write path.**
//!
//! The API, the console and the command line call these; they decide, and know nothing of HTTP or SQL. Every write goes
//! through `write.rs`, which begins with the environment's row: that row is the lock and the number.

mod channels;
mod cohorts;
mod dependents;
mod environments;
mod explain;
mod exposure;
mod first_start;
mod flag_definition;
mod flags;
mod freezes;
mod history;
mod incarnation;
mod instances;
mod items;
mod keys;
mod kill;
mod members;
mod near;
mod plans;
mod projects;
mod references;
mod rehearsals;
mod releases;
mod rollout;
mod targetings;
mod telling;
mod write;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use tokio::sync::{Notify, Semaphore};

use crate::{
    auth::Caller,
    error::Error,
    publish::Hub,
    store::{EnvironmentRow, ProjectRow, Store, StoreError},
    telemetry::Telemetry,
};

pub use channels::{AUDIENCES, ChannelDefinition, StoredChannel};
pub use cohorts::CohortDefinition;
pub use environments::{EnvironmentDefinition, Settings};
pub use explain::{Explained, Explanation, Question};
pub use exposure::moved;
pub use first_start::{FirstStart, first_start};
pub use flag_definition::{FlagDefinition, FlagPatch};
pub use freezes::FreezeDefinition;
pub use history::HistoryEntry;
pub use keys::NewKey;
pub use members::{LONGEST_UNIT, MEMBERS_AT_ONCE, MOST_MEMBERS, MembersChanged, Units};
pub use plans::{StoredPlan, executable, read_document};
pub use rehearsals::{RehearsalAsk, Rehearsed, predict_plan, rehearse_plan};
pub use releases::{AppBooks, Entry, EntryKind, NewRelease, ReleaseState, phase_name};
pub use targetings::{TargetingDefinition, TargetingState};

/// The use cases, over a database and what publishes it. Cheap to clone.
#[derive(Clone)]
pub struct App {
    store: Store,
    hub: Hub,
    telemetry: Telemetry,
    /// Where requests were aimed before: what is asked of memory needs no database to find its environment.
    places: Arc<RwLock<HashMap<(String, String), Place>>>,
    /// Told of every commit: whoever follows releases looks at once.
    stirred: Arc<Notify>,
    /// Rehearsals take turns: each takes a processor for a while.
    rehearsing: Arc<Semaphore>,
}

/// How a write is asked for, and by whom.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Who asks.
    pub caller: Caller,
    /// Why.
    pub reason: Option<String>,
    /// Past the bounds of manual changes.
    pub force: bool,
    /// Away from the release that drives the flag.
    pub take_over: bool,
    /// Everything but the commit.
    pub dry_run: bool,
    /// The `ETag`s that may be replaced; `None` for any.
    pub if_match: Option<Vec<String>>,
    /// The version that a PUT tells of, as a GET told it: accepted where it is so.
    pub told_version: Option<i64>,
}

/// An environment and its project.
#[derive(Debug, Clone)]
pub struct Place {
    /// The project.
    pub project: ProjectRow,
    /// The environment.
    pub environment: EnvironmentRow,
}

/// What a write did, or would do.
#[derive(Debug, Clone)]
pub struct Done<T> {
    /// What stood.
    pub before: Option<T>,
    /// What stands.
    pub after: T,
    /// The environment's revision that it made, or that stood when nothing changed; none for what is not served.
    pub revision: Option<i64>,
    /// Whether anything changed.
    pub changed: bool,
    /// What the caller should know.
    pub warnings: Vec<String>,
}

impl Ask {
    /// Whether a version may be replaced.
    ///
    /// # Errors
    /// 412, or 422 for a body that tells of another, with the version that stands.
    pub(crate) fn matches(&self, version: i64) -> Result<(), Error> {
        let present = format!("\"{version}\"");
        match &self.if_match {
            Some(tags) if !tags.iter().any(|tag| tag == "*" || *tag == present) => {
                Err(Error::StaleVersion { given: tags.join(", "), present })
            }
            _ => match self.told_version.filter(|told| *told != version) {
                Some(told) => Err(Error::invalid("/version", format!("is {told}, but version {version} stands: read it again"))),
                None => Ok(()),
            },
        }
    }

    /// The same of something that is not there: nothing matches.
    pub(crate) fn matches_nothing(&self) -> Result<(), Error> {
        match &self.if_match {
            Some(tags) => Err(Error::StaleVersion { given: tags.join(", "), present: "nothing".to_owned() }),
            None => Ok(()),
        }
    }
}

impl App {
    /// Over these.
    pub fn new(store: Store, hub: Hub, telemetry: Telemetry) -> Self {
        Self {
            store,
            hub,
            telemetry,
            places: Arc::default(),
            stirred: Arc::default(),
            rehearsing: Arc::new(Semaphore::new(rehearsals::REHEARSALS_AT_ONCE)),
        }
    }

    /// The project with this key.
    ///
    /// # Errors
    /// 404; the database away.
    pub async fn project(&self, key: &str) -> Result<ProjectRow, Error> {
        self.store.find_project(key).await?.ok_or_else(|| Error::no_such("project", key))
    }

    /// The environment with this key, if the token is for it.
    ///
    /// # Errors
    /// 403, 404; the database away.
    pub async fn place(&self, caller: &Caller, project: &str, environment: &str) -> Result<Place, Error> {
        caller.reaches(project, environment)?;
        let project = self.project(project).await?;
        let found = self.store.find_environment(project.id, environment).await?;
        let environment = found.ok_or_else(|| Error::no_such("environment", environment))?;
        let place = Place { project, environment };
        let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
        places.insert((place.project.key.clone(), place.environment.key.clone()), place.clone());
        Ok(place)
    }

    /// The environment of a row.
    ///
    /// # Errors
    /// 404; the database away.
    pub async fn place_of(&self, environment: i64) -> Result<Place, Error> {
        let gone = || Error::NotFound("the environment is gone".to_owned());
        let environment = self.store.find_environment_by_id(environment).await?.ok_or_else(gone)?;
        let project = self.store.find_project_by_id(environment.project).await?.ok_or_else(gone)?;
        Ok(Place { project, environment })
    }

    /// The same, from memory where the database is away: for what is answered from memory anyway.
    ///
    /// # Errors
    /// 403, 404; 503 for an environment that nobody asked for while the database was there.
    pub async fn remembered_place(&self, caller: &Caller, project: &str, environment: &str) -> Result<Place, Error> {
        let remembered = || {
            let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
            places.get(&(project.to_owned(), environment.to_owned())).cloned()
        };
        // Nobody waits for a database that is known to be away to be told what memory knows.
        if !self.hub.database_up()
            && let Some(place) = remembered()
        {
            caller.reaches(project, environment)?;
            return Ok(place);
        }
        match self.place(caller, project, environment).await {
            Err(error @ Error::Unavailable { .. }) => remembered().ok_or(error),
            other => other,
        }
    }

    /// Remembers every environment, so that [`App::remembered_place`] knows them all from the start.
    ///
    /// # Errors
    /// The database away.
    pub async fn remember_places(&self) -> Result<(), StoreError> {
        for project in self.store.list_projects("", i64::MAX).await? {
            for environment in self.store.list_environments(project.id).await? {
                let place = Place { project: project.clone(), environment };
                let key = (project.key.clone(), place.environment.key.clone());
                self.places.write().unwrap_or_else(PoisonError::into_inner).insert(key, place);
            }
        }
        Ok(())
    }

    /// How many instances of an environment were heard of lately.
    pub async fn count_instances(&self, environment: i64) -> usize {
        self.telemetry.instances(environment).await
    }

    /// Told of every commit of this node.
    pub fn stirred(&self) -> Arc<Notify> {
        Arc::clone(&self.stirred)
    }

    /// The database, for `/health`.
    pub fn store(&self) -> &Store {
        &self.store
    }
}

/// Epoch milliseconds, now.
pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Whether a key of a project, environment, flag, cohort or variant is one.
///
/// # Errors
/// 422 at `pointer`, with the pattern.
pub(crate) fn check_key(pointer: &str, what: &str, key: &str) -> Result<(), Error> {
    let first = key.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    if first && rest && key.len() <= LONGEST_KEY {
        return Ok(());
    }
    let shown: String = key.chars().take(40).collect();
    Err(Error::invalid(
        pointer,
        format!(
            "{shown:?} is no {what} key: 1 to {LONGEST_KEY} of letters, digits, dot, dash and underscore, beginning with a letter or digit"
        ),
    ))
}

/// The longest key, in bytes.
const LONGEST_KEY: usize = 100;
