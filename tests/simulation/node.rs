//! A node: a process that follows releases, and writes what it heard.

use std::{collections::VecDeque, sync::Arc};

use storyflag_release::{
    evidence::Reading,
    machine::{Command, CommandKind},
    run::Row,
};
use storyflag_server::{error::Error, scheduler::Follower};

use super::{
    agenda::Ask,
    desk::Desk,
    gate::Op,
    shelf::{Edit, Shelf},
    watched::Watched,
};

pub(crate) struct Node<S: Shelf> {
    /// Another one after each crash.
    pub(crate) process: u64,
    /// None while it works, and while it is down.
    pub(crate) follower: Option<Box<Follower<Watched<S::Books>>>>,
    /// By how much its clock is wrong.
    pub(crate) offset: i64,
    /// What the environment stood at when it looked last.
    pub(crate) moved: Option<(u64, i64)>,
    pub(crate) up_at: i64,
    pub(crate) last_second: i64,
    pub(crate) rows: VecDeque<Row>,
    pub(crate) late_until: i64,
    pub(crate) lost_until: i64,
    pub(crate) asked: Vec<(usize, i64, Ask)>,
}

/// What somebody was answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) time: i64,
    pub(crate) release: usize,
    pub(crate) what: What,
    pub(crate) said: Said,
    /// How many commits there were.
    pub(crate) commits: usize,
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    Command(CommandKind),
    Edit(Edit),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    /// Done; the revision that it made, where it is told.
    Done(Option<u64>),
    Refused(String),
    /// Nobody knows.
    Unknown,
}

/// What a task comes to.
pub(crate) struct Finished<S: Shelf> {
    pub(crate) follower: Option<Box<Follower<Watched<S::Books>>>>,
    pub(crate) moved: Option<(u64, i64)>,
    pub(crate) answers: Vec<Answer>,
}

/// What a node does in a second: what it is asked, then a look at everything.
pub(crate) async fn work<S: Shelf>(
    shelf: S,
    desk: Arc<Desk>,
    mut follower: Box<Follower<Watched<S::Books>>>,
    asked: Vec<(usize, i64, Ask)>,
    moved: Option<(u64, i64)>,
    reading: Option<Reading>,
) -> Finished<S> {
    let readings = |_: &str| reading.clone();
    let mut answers = Vec::new();
    for (release, id, ask) in asked {
        let done = command(&shelf, &desk, &mut follower, id, &ask, &readings).await;
        let said = match done {
            Ok(()) => Said::Done(None),
            Err(Error::Unavailable { .. }) => Said::Unknown,
            Err(error) => Said::Refused(format!("{error:?}")),
        };
        desk.log(|| format!("{} asks release {release} to {:?}: {said:?}", ask.by, ask.kind));
        let (time, commits) = {
            let state = desk.state();
            (state.time, state.commits.len())
        };
        answers.push(Answer { time, release, what: What::Command(ask.kind), said, commits });
    }
    let looked = look(&shelf, &desk, &mut follower, moved, &readings).await;
    if let Err(error) = &looked
        && !matches!(error, Error::Unavailable { .. })
    {
        desk.break_rule(format!("a look failed: {error:?}"));
    }
    Finished { follower: Some(follower), moved: looked.ok(), answers }
}

async fn look<S: Shelf>(
    shelf: &S,
    desk: &Desk,
    follower: &mut Follower<Watched<S::Books>>,
    moved: Option<(u64, i64)>,
    readings: &(dyn Fn(&str) -> Option<Reading> + Sync),
) -> Result<(u64, i64), Error> {
    desk.go(Op::Heads).await?;
    let heads = shelf.heads().await?;
    let stands = shelf.stands().await?;
    follower.tick(&heads, moved != Some(stands), readings).await?;
    Ok(stands)
}

async fn command<S: Shelf>(
    shelf: &S,
    desk: &Desk,
    follower: &mut Follower<Watched<S::Books>>,
    id: i64,
    ask: &Ask,
    readings: &(dyn Fn(&str) -> Option<Reading> + Sync),
) -> Result<(), Error> {
    desk.go(Op::Heads).await?;
    let head = shelf.head_of(id).await?;
    let heeds = matches!(ask.kind, CommandKind::Approve | CommandKind::Advance | CommandKind::Start { .. } | CommandKind::Resume);
    let read = head.number as u64 + if ask.stale { 7 } else { 0 };
    let matches = |number: u64| match heeds && number != read {
        true => Err(Error::StaleVersion { given: read.to_string(), present: number.to_string() }),
        false => Ok(()),
    };
    let command = Command { kind: ask.kind.clone(), actor: ask.by.to_owned(), reason: Some("so it is".to_owned()), force: ask.force };
    follower.command(head, &command, &matches, readings).await.map(drop)
}

/// A change by hand.
pub(crate) async fn edit<S: Shelf>(shelf: S, desk: Arc<Desk>, release: usize, flag: String, edit: Edit) -> Finished<S> {
    let by = "eve";
    let token = desk.token();
    let done = match desk.hold(Op::Edit, token).await {
        Ok(()) => {
            let done = shelf.edit(&flag, &edit, by).await;
            desk.let_go(token);
            done
        }
        Err(error) => Err(error),
    };
    let said = match done {
        Ok(revision) => Said::Done(revision),
        Err(Error::Unavailable { .. }) => Said::Unknown,
        Err(error) => Said::Refused(format!("{error:?}")),
    };
    desk.log(|| format!("{by} of release {release}'s flag: {edit:?}: {said:?}"));
    let (time, commits) = {
        let state = desk.state();
        (state.time, state.commits.len())
    };
    let answer = Answer { time, release, what: What::Edit(edit), said, commits };
    Finished { follower: None, moved: None, answers: vec![answer] }
}
