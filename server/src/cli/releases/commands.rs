//! Commands that are always safe, and the one that takes a pause back.

use super::{
    super::{
        Said,
        client::{Answer, Target},
        failure::Failure,
        table::plain,
        writes::warnings_in_words,
    },
    CommandArgs, Saying,
    find::find,
    nothing,
    shape::Release,
    view::place_in_words,
};
use crate::app::now_ms;

pub(super) fn pause(target: &Target, args: &CommandArgs) -> Result<Said, Failure> {
    command(target, args, "pause", "stays where it is; triggers are judged all the same", Some("resume"))
}

pub(super) fn resume(target: &Target, args: &CommandArgs) -> Result<Said, Failure> {
    command(target, args, "resume", "goes on", Some("watch"))
}

pub(super) fn rollback(target: &Target, args: &CommandArgs) -> Result<Said, Failure> {
    let done = "turns back; it is over when every instance is seen to serve what stood before";
    command(target, args, "rollback", done, Some("watch"))
}

pub(super) fn cancel(target: &Target, args: &CommandArgs) -> Result<Said, Failure> {
    command(target, args, "cancel", "is called off; nobody was served by it", None)
}

fn command(target: &Target, args: &CommandArgs, verb: &str, done: &str, next: Option<&str>) -> Result<Said, Failure> {
    let client = target.client()?;
    let id = find(&client, target, &args.which.release)?.release.id;
    let path = target.in_environment(&["releases", &id, verb])?;
    let answer = client.send("POST", &path, &args.saying.query(), &nothing());
    told(target, answer.map_err(|failure| look_first(failure, target, &id))?, done, next)
}

/// The answer to a command in words.
pub(super) fn told(target: &Target, answer: Answer, done: &str, next: Option<&str>) -> Result<Said, Failure> {
    if target.json {
        return Ok(Said::json(&[answer]));
    }
    let release = Release::read(&answer.text)?;
    let now = jiff::Timestamp::from_millisecond(now_ms()).unwrap_or_default();
    let (id, environment) = (plain(&release.id), target.required_environment()?);
    let state = plain(&format!("{} {}", release.doing(), place_in_words(&release, now)));
    let text = format!("{id} in {environment} {done}  ({})\n{}", state.trim_end(), warnings_in_words(&release.warnings));
    let said = Said::out(text);
    Ok(match next {
        Some(verb) => said.with_note(format!("next: storyflag release {verb} {id} -e {environment}")),
        None => said,
    })
}

/// What a refusal makes one want to know.
pub(super) fn look_first(failure: Failure, target: &Target, id: &str) -> Failure {
    let environment = target.environment().unwrap_or_default();
    failure.or_next(format!("storyflag release get {id} -e {environment}, which shows how it stands"))
}

impl Saying {
    /// Whether a reason was given that is one.
    pub(super) fn has_reason(&self) -> bool {
        self.reason.as_ref().is_some_and(|reason| !reason.trim().is_empty())
    }
}
