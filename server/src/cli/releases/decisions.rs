//! A human's word in place of evidence: shown first on what it rests, and given only for what was shown.

use std::io::{self, BufRead, IsTerminal, Write};

use super::{
    super::{Said, client::Target, failure::Failure},
    DecisionArgs,
    commands::{look_first, told},
    find::find,
    nothing,
    screen::{columns, is_coloured},
    shape::Release,
    view::Page,
};
use crate::app::now_ms;

pub(super) fn approve(target: &Target, args: &DecisionArgs) -> Result<Said, Failure> {
    decide(target, args, "approve", "is approved")
}

pub(super) fn advance(target: &Target, args: &DecisionArgs) -> Result<Said, Failure> {
    if !args.saying.has_reason() {
        return Err(Failure::usage("to take a step by force needs a reason: the same with --reason \"why\""));
    }
    decide(target, args, "advance", "takes its next step by force")
}

fn decide(target: &Target, args: &DecisionArgs, verb: &str, done: &str) -> Result<Said, Failure> {
    let (client, environment) = (target.client()?, target.required_environment()?);
    let release = find(&client, target, &args.which.release)?.release;
    if !target.json {
        show(&release, environment);
    }
    if !args.yes && !is_wanted(&question(&release, verb))? {
        return Err(Failure::refused("nothing was done"));
    }
    let path = target.in_environment(&["releases", &release.id, verb])?;
    // Only if it stands as it was shown: what somebody did in between makes another decision of it.
    let shown = format!("\"{}\"", release.number);
    let answer = client.send_if("POST", &path, &args.saying.query(), &nothing(), Some(&shown));
    told(target, answer.map_err(|failure| look_first(failure, target, &release.id))?, done, Some("watch"))
}

/// Shows on what the decision rests.
fn show(release: &Release, environment: &str) {
    let now = jiff::Timestamp::from_millisecond(now_ms()).unwrap_or_default();
    let page = Page { release, environment, timeline: &[], now, columns: columns() };
    let coloured = is_coloured(io::stderr().is_terminal());
    let text: String = page.grounds().iter().map(|line| line.render(coloured) + "\n").collect();
    // A person who cannot be shown cannot be asked either; `--yes` needs nobody.
    let _ = io::stderr().write_all(text.as_bytes());
}

fn question(release: &Release, verb: &str) -> String {
    let here = release.step.as_ref().map(|step| format!("{} %", step.percentage)).unwrap_or_default();
    match release.next.as_ref().map(|next| next.percentage) {
        Some(Some(next)) => format!("{verb} {}: {here} -> {next} %?", release.id),
        Some(None) => format!("{verb} {}: {here} -> completed?", release.id),
        None => format!("{verb} {} at {here}?", release.id),
    }
}

/// Asks the person at the terminal.
fn is_wanted(question: &str) -> Result<bool, Failure> {
    let nobody = || Failure::usage("there is no terminal to ask at: the same with --yes, if these counts suffice you");
    if !io::stdin().is_terminal() {
        return Err(nobody());
    }
    let _ = write!(io::stderr(), "{question} [y/N] ").and_then(|()| io::stderr().flush());
    let mut said = String::new();
    io::stdin().lock().read_line(&mut said).map_err(|_| nobody())?;
    Ok(matches!(said.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
