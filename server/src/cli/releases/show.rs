//! Releases in tables, documents and reports.

use std::io::{self, IsTerminal};

use super::{
    super::{
        Said,
        client::{Query, Target},
        failure::Failure,
        table::{Table, plain},
        writes::warnings_in_words,
    },
    ListArgs, checklist,
    find::find,
    screen::{columns, is_coloured},
    shape::{Entry, Release},
    view::{Page, entry_in_words},
};
use crate::{api::documents::MARKDOWN, app::now_ms};

pub(super) fn list(target: &Target, args: &ListArgs) -> Result<Said, Failure> {
    let query = Query::default().with_some("plan", args.plan.as_deref()).with_some("flag", args.flag.as_deref());
    let pages = target.client()?.pages(&target.in_environment(&["releases"])?, &query.with_flag("live", args.live))?;
    if target.json {
        return Ok(Said::json(&pages));
    }
    let mut releases = Vec::new();
    for page in &pages {
        releases.append(&mut Release::read_list(&page.text)?);
    }
    let environment = target.required_environment()?;
    if releases.is_empty() {
        return Ok(Said::out("no releases\n").with_note(format!("next: storyflag release start PLAN -e {environment}")));
    }
    Ok(Said::out(table_of(releases)))
}

fn table_of(mut releases: Vec<Release>) -> String {
    releases.sort_by(|one, other| (&one.created_at, one.counter()).cmp(&(&other.created_at, other.counter())));
    let mut table = Table::new(["RELEASE", "FLAG", "STATE", "AT", "STEP", "CREATED", "BY", "ENDED"]);
    for release in releases {
        let at = release.step.as_ref().map(|step| format!("{} %", step.percentage)).unwrap_or_default();
        let step = release.step.as_ref().map(|step| format!("{} of {}", step.number, step.of)).unwrap_or_default();
        let (state, ended) = (release.doing(), release.ended_at.unwrap_or_default());
        table.row([release.id, release.flag, state, at, step, release.created_at, release.created_by, ended]);
    }
    table.render()
}

/// How it stands; as Markdown, the plan's document with what happened.
pub(super) fn get(target: &Target, what: &str, markdown: bool) -> Result<Said, Failure> {
    let client = target.client()?;
    let found = find(&client, target, what)?;
    if markdown {
        // Word for word: not a byte more than the service said.
        return Ok(Said::out(client.get_document(&target.in_environment(&["releases", &found.release.id])?, MARKDOWN)?.text));
    }
    if target.json {
        return Ok(Said::json(&[found.answer]));
    }
    let (release, environment) = (&found.release, target.required_environment()?);
    let now = jiff::Timestamp::from_millisecond(now_ms()).unwrap_or_default();
    let page = Page { release, environment, timeline: &[], now, columns: columns() };
    let coloured = is_coloured(io::stdout().is_terminal());
    let mut text: String = page.lines().iter().map(|line| line.render(coloured) + "\n").collect();
    text.push_str(&format!("created {} by {}\n", plain(&release.created_at), plain(&release.created_by)));
    text.extend(release.assumed.iter().map(|assumed| format!("assumed: {}\n", plain(assumed))));
    text.push_str(&warnings_in_words(&release.warnings));
    if !release.checklist.is_empty() {
        text.push_str(&format!("\n{}", checklist::table_of(release)));
    }
    Ok(Said::out(text))
}

pub(super) fn timeline(target: &Target, what: &str) -> Result<Said, Failure> {
    let client = target.client()?;
    let id = find(&client, target, what)?.release.id;
    let answer = client.get(&target.in_environment(&["releases", &id, "timeline"])?, &Query::default())?;
    if target.json {
        return Ok(Said::json(&[answer]));
    }
    let mut table = Table::new(["WHEN", "NUMBER", "STEP", "WHAT"]);
    for entry in Entry::read_all(&answer.text)? {
        let told = entry_in_words(&entry);
        let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
        table.row([entry.at, number(entry.number), number(entry.step), told]);
    }
    Ok(Said::out(table.render()))
}

pub(super) fn report(target: &Target, what: &str) -> Result<Said, Failure> {
    let client = target.client()?;
    let id = find(&client, target, what)?.release.id;
    let path = target.in_environment(&["releases", &id, "report"])?;
    if target.json {
        return Ok(Said::json(&[client.get(&path, &Query::default())?]));
    }
    Ok(Said::out(client.get_document(&path, MARKDOWN)?.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_ends_with_the_newest() {
        let text = r#"{"releases": [
            {"release": "DP-1-10", "flag": "US-1", "state": "baking", "created_at": "2026-12-01T09:00:00Z", "created_by": "mia", "step": {"number": 2, "of": 5, "percentage": 1}},
            {"release": "DP-1-9", "flag": "US-1", "phase": "rolled_back", "created_at": "2026-12-01T09:00:00Z", "created_by": "mia", "ended_at": "2026-12-01T10:00:00Z"}]}"#;
        assert_eq!(
            table_of(Release::read_list(text).unwrap()),
            "RELEASE  FLAG  STATE        AT   STEP    CREATED               BY   ENDED\n\
             DP-1-9   US-1  rolled back               2026-12-01T09:00:00Z  mia  2026-12-01T10:00:00Z\n\
             DP-1-10  US-1  baking       1 %  2 of 5  2026-12-01T09:00:00Z  mia\n"
        );
    }
}
