//! `storyflag kill` and `storyflag revive`.

use clap::Args;
use serde_json::json;

use super::{
    Said,
    client::{Answer, Target},
    failure::Failure,
    table::{counted, plain},
    targeting::Targeting,
    writes::{WriteArgs, dry_run_in_words},
};

#[derive(Debug, Args)]
pub(super) struct KillArgs {
    /// The flag's key
    key: String,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    target: Target,
}

/// Everybody gets `off`. Needs no reason: safety is always allowed.
pub(super) fn kill(args: &KillArgs) -> Result<Said, Failure> {
    let said = post(args, "kill", |targeting, place| {
        let reach = counted(targeting.instances, "instance");
        let off = plain(&targeting.off);
        let is = if targeting.changed == Some(false) { "was killed already" } else { "is killed" };
        format!("{place} {is}: everybody gets {off}  (revision {}, {reach})\n{}", targeting.revision, others(targeting))
    })?;
    if args.target.json || args.write.dry_run {
        return Ok(said);
    }
    let environment = args.target.environment().unwrap_or_default();
    Ok(said.with_note(format!("back again: storyflag revive {} -e {environment} --reason \"why\"", args.key)))
}

/// Warnings of what is not said anyway.
fn others(targeting: &Targeting) -> String {
    let others = targeting.warnings.iter().filter(|warning| !warning.starts_with("killed here"));
    others.map(|warning| format!("warning: {}\n", plain(warning))).collect()
}

/// The same users as before are served.
pub(super) fn revive(args: &KillArgs) -> Result<Said, Failure> {
    post(args, "revive", |targeting, place| {
        let reach = counted(targeting.instances, "instance");
        let whom = if targeting.enabled { targeting.rollout_in_words() } else { "but it is not enabled: nobody is served".to_owned() };
        format!("{place} is revived: {whom}  (revision {}, {reach})\n", targeting.revision)
    })
}

fn post(args: &KillArgs, command: &str, told: impl Fn(&Targeting, &str) -> String) -> Result<Said, Failure> {
    let path = args.target.in_environment(&["flags", &args.key, command])?;
    let answer = args.target.client()?.send("POST", &path, &args.write.query(), &json!({}))?;
    if args.target.json {
        return Ok(Said::json(&[answer]));
    }
    in_words(&answer, &plain(&args.target.place_of(&args.key)), args.write.dry_run, told)
}

fn in_words(answer: &Answer, place: &str, dry_run: bool, told: impl Fn(&Targeting, &str) -> String) -> Result<Said, Failure> {
    if dry_run {
        return Ok(Said::out(dry_run_in_words(answer, place)?));
    }
    Ok(Said::out(told(&answer.read()?, place)))
}

#[cfg(test)]
mod tests {
    use super::{super::targeting::tests::targeting, *};

    #[test]
    fn an_answer_is_told_as_the_command_says() {
        let answer = Answer { status: 200, text: targeting(json!({"killed": true})).to_string() };
        let said = in_words(&answer, "US-1 in staging", false, |targeting, place| format!("{place} {}", targeting.revision)).unwrap();
        assert_eq!(said.out, "US-1 in staging 814");
    }
}
