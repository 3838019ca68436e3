//! The real store, on SQLite: the service's own use cases write, and its own books are read. What other rooms of the service
//! write (telemetry, freezes) is written here as they write it.

use std::{
    path::PathBuf,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{extract::FromRequestParts, http::Request};
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use sqlx::{SqlitePool, sqlite::SqliteConnectOptions};
use storyflag_evaluation::{FlagItem, Percentage};
use storyflag_release::{
    machine::Owned,
    plan::Media,
    run::{Row, Run},
};
use storyflag_server::{
    app::{App, AppBooks, Ask, EnvironmentDefinition, FlagDefinition, NewRelease, Place, TargetingDefinition, first_start, now_ms},
    auth::{Caller, Role, TOKEN_LIFE, Tokens},
    error::Error,
    publish::{Bus, Hub, Options as Publishing},
    scheduler::Books,
    store::{ReleaseHead, Store, TransitionRow},
    telemetry::Telemetry,
};
use tokio_util::sync::CancellationToken;

use super::{
    plan::{PERCENTAGES, TIME_SCALE, percent},
    shelf::{Change, Created, Dump, Edit, New, Serves, Shelf, Transition},
};

const PROJECT: &str = "default";
/// Releases of a history.
pub(crate) const FLAGS: usize = 24;

const PUT_SECOND: &str = "insert into telemetry_seconds (environment, node, second, heard) values ($1, $2, $3, $4)";
const PUT_NODE: &str = "insert into telemetry_nodes (environment, node, second) values ($1, $2, $3) \
     on conflict (environment, node) do update set second = excluded.second";
const PUT_FREEZE: &str =
    "insert into freezes (id, environment, from_at, to_at, reason, created_at, created_by) values ($1, $2, $3, $4, '', $3, 'eve')";
const TOUCH: &str = "update environments set settings = settings + 1 where id = $1";
const STANDS: &str = "select revision, settings from environments where id = $1";
const CHANGES: &str =
    "select revision, actor, after from changes where environment = $1 and kind = 'flag' and key = $2 and revision >= $3 order by revision";
const FORGET: &str = "update releases set watching = false where environment = $1";

/// A database with one project.
pub(crate) struct Database {
    app: App,
    raw: SqlitePool,
    caller: Caller,
    path: PathBuf,
    stop: CancellationToken,
}

/// One environment of it.
#[derive(Clone)]
pub(crate) struct Sqlite {
    database: Rc<Database>,
    place: Place,
    ids: Rc<AtomicU64>,
}

fn flag(index: usize) -> String {
    format!("US-{}", index + 1)
}

impl Database {
    /// A new file, in memory where the system has such a place.
    pub(crate) async fn open(name: &str) -> Self {
        let memory = PathBuf::from("/dev/shm");
        let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let path = folder.join(format!("storyflag-simulation-{}-{name}.db", std::process::id()));
        let address = format!("sqlite:{}", path.display());
        let store = Store::open(&address, 2).await.unwrap();
        let tokens = Tokens::load(&store, now_ms()).await.unwrap();
        first_start(&store, &tokens).await.unwrap();
        let (stop, mut registry) = (CancellationToken::new(), Registry::default());
        let node: Arc<str> = "simulation".into();
        let hub = Hub::start(store.clone(), Bus::in_process(), Arc::clone(&node), Publishing::default(), stop.clone(), &mut registry);
        let hub = hub.await.unwrap();
        let telemetry = Telemetry::start(store.clone(), node, stop.clone(), &mut registry);
        let token = tokens.issue("eve", Role::Admin, None, TOKEN_LIFE).unwrap();
        let request = Request::builder().header("authorization", format!("Bearer {token}")).body(()).unwrap();
        let caller = Caller::from_request_parts(&mut request.into_parts().0, &tokens).await.unwrap();
        let options = SqliteConnectOptions::new().filename(&path).busy_timeout(std::time::Duration::from_secs(10));
        let raw = SqlitePool::connect_lazy_with(options);
        let database = Self { app: App::new(store, hub, telemetry), raw, caller, path, stop };
        for index in 0..FLAGS {
            database.app.put_flag(&database.ask(), PROJECT, &flag(index), FlagDefinition::default()).await.unwrap();
        }
        database
    }

    fn ask(&self) -> Ask {
        let caller = self.caller.clone();
        Ask { caller, reason: None, force: true, take_over: false, dry_run: false, if_match: None, told_version: None }
    }

    /// A new environment.
    pub(crate) async fn environment(self: &Rc<Self>, seed: u64) -> Sqlite {
        let key = format!("e-{seed}");
        let definition = EnvironmentDefinition { name: None, protected: Some(false), settings: None };
        self.app.put_environment(&self.ask(), PROJECT, &key, definition).await.unwrap();
        let place = self.app.place(&self.caller, PROJECT, &key).await.unwrap();
        Sqlite { database: Rc::clone(self), place, ids: Rc::default() }
    }

    pub(crate) async fn close(&self) {
        self.stop.cancel();
        self.raw.close().await;
        self.app.store().close().await;
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", self.path.display()));
        }
    }
}

impl Sqlite {
    fn app(&self) -> &App {
        &self.database.app
    }

    pub(crate) fn incarnation(&self) -> u64 {
        self.place.environment.identity().incarnation
    }

    /// Nothing of it is looked at any more.
    pub(crate) async fn forget(&self) {
        sqlx::query(FORGET).bind(self.place.environment.id).execute(&self.database.raw).await.unwrap();
    }

    async fn rule(&self, flag: &str) -> Result<Option<i64>, Error> {
        let (state, _) = self.app().find_targeting(&self.place, flag).await?;
        let item = state.item;
        let mut overrides = item.overrides;
        overrides.insert(format!("user-{}", overrides.len()), item.off.clone());
        let definition = TargetingDefinition {
            enabled: item.enabled,
            unit: item.unit,
            off: Some(item.off),
            prerequisites: item.prerequisites,
            overrides,
            rules: item.rules,
            rollout: Some(item.rollout),
            killed: None,
            revision: None,
        };
        let ask = Ask { if_match: Some(vec![format!("\"{}\"", state.row.version)]), ..self.database.ask() };
        let done = self.app().put_targeting(&ask, &self.place, flag, definition).await?;
        Ok(done.revision.filter(|_| done.changed))
    }

    async fn bump(&self, flag: &str, to: Percentage, take_over: bool) -> Result<Option<i64>, Error> {
        let ask = Ask { take_over, ..self.database.ask() };
        let done = self.app().bump(&ask, &self.place, flag, to, None).await?;
        Ok(done.revision.filter(|_| done.changed))
    }

    async fn freeze(&self, from: i64, to: i64) {
        let (raw, environment) = (&self.database.raw, self.place.environment.id);
        let id = format!("{environment}-{}", self.ids.fetch_add(1, Ordering::Relaxed));
        let mut tx = raw.begin_with("begin immediate").await.unwrap();
        sqlx::query(TOUCH).bind(environment).execute(&mut *tx).await.unwrap();
        sqlx::query(PUT_FREEZE).bind(id).bind(environment).bind(from).bind(to).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }
}

fn serves(item: &FlagItem) -> Serves {
    let owned =
        Owned { enabled: item.enabled, percentage: item.rollout.millionths, cohorts: item.rollout.cohorts.iter().cloned().collect() };
    Serves { owned, killed: item.killed, rollout_revision: item.watch.as_ref().map(|watch| watch.rollout_revision) }
}

fn transition(row: TransitionRow) -> Transition {
    Transition {
        number: row.number,
        from: row.from_phase,
        to: row.to_phase,
        step: row.step as usize,
        actor: row.actor,
        evidence: row.evidence,
        revision: row.revision.map(|revision| revision as u64),
    }
}

impl Shelf for Sqlite {
    type Books = AppBooks;

    fn books(&self) -> AppBooks {
        AppBooks::new(self.app().clone(), &self.place)
    }

    async fn heads(&self) -> Result<Vec<ReleaseHead>, Error> {
        let mut heads = self.app().store().release_heads().await?;
        heads.retain(|head| head.environment == self.place.environment.id);
        Ok(heads)
    }

    async fn stands(&self) -> Result<(u64, i64), Error> {
        let (revision, settings): (i64, i64) =
            sqlx::query_as(STANDS).bind(self.place.environment.id).fetch_one(&self.database.raw).await.unwrap();
        Ok((revision as u64, settings))
    }

    async fn head_of(&self, id: i64) -> Result<ReleaseHead, Error> {
        Ok(self.app().store().find_release_by_id(id).await?.unwrap().head())
    }

    async fn serves(&self) -> Vec<(String, Serves)> {
        let flags: Vec<String> = (0..FLAGS).map(flag).collect();
        let rows = self.app().store().find_targetings(self.place.environment.id, &flags).await.unwrap();
        rows.into_iter().map(|row| (row.key, serves(&serde_json::from_str(&row.item).unwrap()))).collect()
    }

    async fn put_rows(&self, rows: &[Row]) {
        let mut tx = self.database.raw.begin_with("begin immediate").await.unwrap();
        let environment = self.place.environment.id;
        for row in rows {
            let heard = serde_json::to_string(&row.heard).unwrap();
            let put = sqlx::query(PUT_SECOND).bind(environment).bind(&row.node).bind(row.second).bind(heard);
            put.execute(&mut *tx).await.unwrap();
            sqlx::query(PUT_NODE).bind(environment).bind(&row.node).bind(row.second).execute(&mut *tx).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    async fn edit(&self, flag: &str, edit: &Edit, _: &str) -> Result<Option<u64>, Error> {
        let ask = self.database.ask();
        let revision = match edit {
            Edit::Kill => {
                let done = self.app().kill(&ask, &self.place, flag).await?;
                done.revision.filter(|_| done.changed)
            }
            Edit::Revive => {
                let done = self.app().revive(&ask, &self.place, flag).await?;
                done.revision.filter(|_| done.changed)
            }
            Edit::Raise { to, take_over } => self.bump(flag, *to, *take_over).await?,
            Edit::Lower { to } => self.bump(flag, *to, true).await?,
            Edit::Rule => self.rule(flag).await?,
            Edit::Freeze { from, to } => {
                self.freeze(*from, *to).await;
                None
            }
        };
        Ok(revision.map(|revision| revision as u64))
    }

    async fn create(&self, new: &New) -> Created {
        let ask = self.database.ask();
        let plan = format!("DP-{}-{}", new.flag, self.place.environment.key);
        let mut spec = new.spec.clone();
        // Cohorts have tests of their own.
        spec.kind.cohort = false;
        let document = spec.document(&plan, &new.flag);
        self.app().put_plan(&ask, PROJECT, &plan, Media::Yaml, &document).await.unwrap();
        if new.percentage > Percentage::ZERO {
            self.bump(&new.flag, new.percentage, false).await.unwrap();
        }
        let release = NewRelease {
            plan,
            start_at: new.start_at.map(|at| Timestamp::from_millisecond(at).unwrap()),
            from: new.from.map(|from| percent(PERCENTAGES[from])),
            time_scale: Some(TIME_SCALE),
        };
        let done = self.app().create_release(&ask, &self.place, release).await.unwrap();
        let stored = self.books().load(done.after.id).await.unwrap().unwrap();
        Created { id: done.after.id, spec, carried: stored.carried, revision: done.revision.unwrap() as u64 }
    }

    async fn dump(&self, release: &Created) -> Dump {
        let environment = self.place.environment.id;
        let changes: Vec<(i64, String, String)> = sqlx::query_as(CHANGES)
            .bind(environment)
            .bind(&release.carried.flag)
            .bind(release.revision as i64)
            .fetch_all(&self.database.raw)
            .await
            .unwrap();
        let change = |(revision, by, after): (i64, String, String)| {
            let Serves { owned, killed, .. } = serves(&serde_json::from_str(&after).unwrap());
            Change { revision: revision as u64, by, owned, killed }
        };
        let row = self.app().store().find_release_by_id(release.id).await.unwrap().unwrap();
        let transitions = self.app().store().list_transitions(release.id, 0).await.unwrap();
        let run: Run = serde_json::from_str(&row.run).unwrap();
        let serves = self.serves().await.into_iter().find(|(key, _)| *key == release.carried.flag).unwrap().1;
        Dump {
            changes: changes.into_iter().map(change).collect(),
            transitions: transitions.into_iter().map(transition).collect(),
            run,
            number: row.number,
            live: row.live,
            watching: row.watching,
            serves,
            notices: None,
        }
    }
}
