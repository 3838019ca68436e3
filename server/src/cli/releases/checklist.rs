//! The check boxes of a plan, ticked for one release.

use serde_json::json;

use super::{
    super::{
        Said,
        client::{Answer, Query, Target},
        failure::Failure,
        table::{Table, counted, plain},
    },
    TickArgs,
    commands::look_first,
    find::find,
    shape::{CheckBox, Release},
};

/// Ticks items; without any, lists them.
pub(super) fn tick(target: &Target, args: &TickArgs) -> Result<Said, Failure> {
    let client = target.client()?;
    let found = find(&client, target, &args.which.release)?;
    if args.item.is_empty() {
        return if target.json { Ok(Said::json(&[found.answer])) } else { listed(&found.release, target) };
    }
    // All are found before the first is ticked.
    let meant: Vec<&CheckBox> = args.item.iter().map(|item| meant(&found.release, item)).collect::<Result<_, _>>()?;
    let id = &found.release.id;
    let mut answer: Option<Answer> = None;
    for check in &meant {
        let path = target.in_environment(&["releases", id, "checklist", &check.item])?;
        let ticked = client.send("PUT", &path, &Query::default(), &json!({"done": !args.undo}));
        answer = Some(ticked.map_err(|failure| look_first(failure, target, id))?);
    }
    if target.json {
        return Ok(Said::json(answer.as_slice()));
    }
    let done = if args.undo { "not done" } else { "done" };
    let text: String = meant.iter().map(|check| format!("{done}: {}\n", plain(&check.text))).collect();
    let release = answer.map_or(Ok(found.release.clone()), |answer| Release::read(&answer.text))?;
    Ok(Said::out(text).with_note(what_is_open(&release, target.required_environment()?)))
}

fn what_is_open(release: &Release, environment: &str) -> String {
    let id = plain(&release.id);
    match u64::try_from(release.to_tick().count()).unwrap_or(u64::MAX) {
        _ if !release.is_scheduled() => String::new(),
        0 => format!("next: storyflag release start {id} -e {environment}"),
        open => format!("{} left to tick before the start", counted(open, "item")),
    }
}

fn listed(release: &Release, target: &Target) -> Result<Said, Failure> {
    if release.checklist.is_empty() {
        return Ok(Said::out(format!("{} has no checklist\n", plain(&release.id))));
    }
    Ok(Said::out(table_of(release)).with_note(what_is_open(release, target.required_environment()?)))
}

/// The items, a row each.
pub(super) fn table_of(release: &Release) -> String {
    let mut table = Table::new(["DONE", "BEFORE THE", "GROUP", "ITEM", "TEXT", "BY", "AT"]);
    for check in &release.checklist {
        let CheckBox { item, text, group, gate, done, by, at } = check.clone();
        let gate = if gate == "complete" { "end".to_owned() } else { gate };
        table.row([if done { "yes" } else { "no" }.to_owned(), gate, group, item, text, by, at]);
    }
    table.render()
}

/// The item that a person means: its id, its text, or a part of its text that no other has.
fn meant<'a>(release: &'a Release, item: &str) -> Result<&'a CheckBox, Failure> {
    let wanted = item.trim().to_lowercase();
    let exactly = |check: &&CheckBox| check.item == item.trim() || check.text.to_lowercase() == wanted;
    let partly = |check: &&CheckBox| !wanted.is_empty() && check.text.to_lowercase().contains(&wanted);
    let checklist = release.checklist.as_slice();
    if let Some(check) = checklist.iter().find(exactly) {
        return Ok(check);
    }
    let found: Vec<&CheckBox> = checklist.iter().filter(partly).collect();
    let names =
        |checks: &[&CheckBox]| checks.iter().map(|check| format!("  {}  {}\n", plain(&check.item), plain(&check.text))).collect::<String>();
    match found.as_slice() {
        [check] => Ok(check),
        [] => {
            let all: Vec<&CheckBox> = checklist.iter().collect();
            Err(Failure::usage(format!("no item of {} is or holds {item:?}; there are\n{}", release.id, names(&all).trim_end())))
        }
        several => Err(Failure::usage(format!("{item:?} may be any of\n{}\nsay more of it, or its id", names(several).trim_end()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release() -> Release {
        let items = json!([
            {"item": "a1", "text": "All tests passing in CI/CD", "group": "code readiness", "gate": "start", "done": true, "by": "mia", "at": "T"},
            {"item": "b2", "text": "All smoke tests passing", "gate": "complete", "done": false},
            {"item": "c3", "text": "Rollback plan tested", "gate": "start", "done": false}]);
        Release::read(&json!({"release": "DP-1-1", "phase": "scheduled", "checklist": items}).to_string()).unwrap()
    }

    #[test]
    fn an_item_is_named_by_its_id_or_a_part_of_its_text() {
        let release = release();
        for (said, item) in [("c3", "c3"), ("ROLLBACK", "c3"), ("all smoke tests passing", "b2"), (" ci/cd ", "a1")] {
            assert_eq!(meant(&release, said).unwrap().item, item, "{said}");
        }
        let told = meant(&release, "tests passing").unwrap_err().text();
        assert_eq!(
            told,
            "\"tests passing\" may be any of\n  a1  All tests passing in CI/CD\n  b2  All smoke tests passing\nsay more of it, or its id"
        );
        assert!(meant(&release, "nothing such").unwrap_err().text().contains("there are\n  a1  "));
        assert!(meant(&release, "").is_err());
    }

    #[test]
    fn what_is_left_is_told() {
        assert_eq!(what_is_open(&release(), "staging"), "1 item left to tick before the start");
        assert_eq!(
            table_of(&release()).lines().next(),
            Some("DONE  BEFORE THE  GROUP           ITEM  TEXT                        BY   AT")
        );
    }
}
