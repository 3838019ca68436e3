//! Which release is meant: by its id, or by its plan.

use super::{
    super::{
        client::{Answer, Client, Query, Target},
        failure::Failure,
    },
    shape::Release,
};

/// A release that was found, and the service's own text of it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) release: Release,
    pub(super) answer: Answer,
}

impl Found {
    /// Reads a release.
    pub(super) fn read(answer: Answer) -> Result<Self, Failure> {
        Ok(Self { release: Release::read(&answer.text)?, answer })
    }
}

/// The release that a person means: the id, or a plan's key for its newest live release, else its newest.
///
/// # Errors
/// When there is none, with what to type next.
pub(super) fn find(client: &Client, target: &Target, what: &str) -> Result<Found, Failure> {
    if let Some(found) = by_id(client, target, what)? {
        return Ok(found);
    }
    let mut releases = of_plan(client, target, what, false)?;
    releases.sort_by_key(|release| (!release.ended, release.counter()));
    let environment = target.required_environment()?;
    let Some(newest) = releases.pop() else {
        let text = format!("there is no release {what:?} in {environment}, and no release of a plan with this key");
        return Err(Failure::refused(text).or_next(format!("storyflag release list -e {environment}, which lists what there is")));
    };
    Found::read(client.get(&target.in_environment(&["releases", &newest.id])?, &Query::default())?)
}

/// The release of this id, if there is one.
pub(super) fn by_id(client: &Client, target: &Target, id: &str) -> Result<Option<Found>, Failure> {
    client.find(&target.in_environment(&["releases", id])?)?.map(Found::read).transpose()
}

/// Releases of a plan, in no particular order.
pub(super) fn of_plan(client: &Client, target: &Target, plan: &str, live: bool) -> Result<Vec<Release>, Failure> {
    let query = Query::default().with("plan", plan).with_flag("live", live);
    let mut releases = Vec::new();
    for page in client.pages(&target.in_environment(&["releases"])?, &query)? {
        releases.append(&mut Release::read_list(&page.text)?);
    }
    Ok(releases)
}
