//! Why a command did not do what was asked, and what to type next.

use std::process::ExitCode;

use serde::Deserialize;

use super::table::plain;

/// Why a command ends without success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The command line is not right: what would be. Exit code 2.
    Usage(String),
    /// It was asked for and not done. Exit code 1.
    Refused {
        /// A sentence for a person.
        text: String,
        /// What to type next, if that is known.
        next: Option<String>,
        /// The service's problem as it came, for machines.
        problem: Option<String>,
    },
}

impl Failure {
    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    pub(super) fn refused(text: impl Into<String>) -> Self {
        Self::Refused { text: text.into(), next: None, problem: None }
    }

    /// What the shell is told.
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Refused { .. } => ExitCode::from(1),
        }
    }

    /// What a person is told.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Usage(text) | Self::Refused { text, next: None, .. } => text.clone(),
            Self::Refused { text, next: Some(next), .. } => format!("{text}\nnext: {next}"),
        }
    }

    /// The service's problem, for the standard output of a machine; empty for a person.
    pub(super) fn problem(&self) -> &str {
        match self {
            Self::Refused { problem: Some(problem), .. } => problem,
            _ => "",
        }
    }

    /// The same for a person, who reads no JSON.
    pub(super) fn for_people(self) -> Self {
        match self {
            Self::Refused { text, next, .. } => Self::Refused { text, next, problem: None },
            usage @ Self::Usage(_) => usage,
        }
    }

    /// The same, with what to type next unless that is known better already.
    pub(super) fn or_next(mut self, hint: impl Into<String>) -> Self {
        if let Self::Refused { next, .. } = &mut self {
            next.get_or_insert_with(|| hint.into());
        }
        self
    }
}

/// As much of an RFC 9457 problem as a person is told.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: String,
    detail: String,
    errors: Vec<Fault>,
    request_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Fault {
    pointer: String,
    detail: String,
    line: Option<usize>,
    column: Option<usize>,
}

impl Fault {
    /// Of what a person wrote, its place; of a request, its pointer.
    fn in_words(&self) -> String {
        match (self.line, self.column) {
            (Some(line), Some(column)) => format!("  {line}:{column}: {}", plain(&self.detail)),
            _ => format!("  {} {}", plain(&self.pointer), plain(&self.detail)),
        }
    }
}

/// Reads the body of an answer that is no success.
pub(super) fn refusal(status: u16, body: &str) -> Failure {
    let Ok(problem) = serde_json::from_str::<Problem>(body) else {
        // Something between us and the service answered, or it is no Storyflag at all.
        let text = format!("the answer is {status}, and no problem of Storyflag's: is STORYFLAG_URL the service's address?");
        return Failure::refused(text);
    };
    let mut lines = vec![sentence(&problem)];
    if problem.errors.len() > 1 || problem.errors.first().is_some_and(|fault| !problem.detail.contains(&fault.detail)) {
        lines.extend(problem.errors.iter().map(Fault::in_words));
    }
    if status >= 500 && !problem.request_id.is_empty() {
        lines.push(format!("  request {}: the service's log has it under this id", plain(&problem.request_id)));
    }
    Failure::Refused { text: lines.join("\n"), next: next(status, &problem), problem: Some(format!("{}\n", body.trim_end())) }
}

fn sentence(problem: &Problem) -> String {
    let detail = match problem.errors.as_slice() {
        // A fault reads as a sentence whose subject is its pointer.
        [fault] if problem.detail == format!("{}: {}", fault.pointer, fault.detail) => format!("{} {}", fault.pointer, fault.detail),
        [fault] if problem.detail == fault.detail => format!("{} {}", fault.pointer, fault.detail),
        _ if problem.detail.is_empty() => problem.title.clone(),
        _ => problem.detail.clone(),
    };
    plain(detail.trim_start())
}

/// What helps against this problem, whatever the command was.
fn next(status: u16, problem: &Problem) -> Option<String> {
    let about = |pointer: &str| problem.errors.iter().find(|fault| fault.pointer == pointer);
    if let Some((_, role)) = problem.detail.rsplit_once("it takes ").filter(|_| status == 403) {
        return Some(format!("ask for a token that may: storyflag token --role {}", plain(role)));
    }
    let next = match status {
        401 => "export STORYFLAG_TOKEN=$(storyflag token --role admin), where the service's database is; a token lasts 8 hours",
        403 => "ask for a token that reaches it: storyflag token --role ..., without --environment for all",
        404 if problem.detail.contains("there is no flag") => "storyflag flags, which lists what there is",
        404 if problem.detail.contains("there is no plan") => "storyflag plan list, which lists what there is",
        404 if problem.detail.contains("there is no release") => "storyflag release list -e ENVIRONMENT, which lists what there is",
        404 if problem.detail.contains("there is no cohort") => "storyflag cohorts -e ENVIRONMENT, which lists what there is",
        404 if problem.detail.contains("there is no environment") => "-e with development, staging or production, unless you made others",
        422 if about("/reason").is_some() => "the same with --reason \"why\"",
        422 if about("/percentage").is_some_and(|fault| fault.detail.contains("force")) => "the same with --force, or smaller steps",
        409 if problem.detail.contains("force=true") => "the same with --force",
        409 if problem.detail.starts_with("cohort ") && problem.detail.contains("If-Match") => "the same with --replace",
        409 if problem.detail.contains("take_over") => "the same with --take-over",
        503 => "the same again in a moment",
        _ => return None,
    };
    Some(next.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(status: u16, detail: &str, faults: &[(&str, &str)]) -> String {
        let errors: Vec<_> = faults.iter().map(|(pointer, detail)| json!({"pointer": pointer, "detail": detail})).collect();
        let body = json!({"type": "urn:storyflag:problem:x", "title": "T", "status": status, "detail": detail, "errors": errors, "request_id": "77"});
        refusal(status, &body.to_string()).text()
    }

    #[test]
    fn one_fault_is_one_sentence_and_what_to_type_next() {
        let detail = "is missing: environment \"production\" is protected, so say why";
        let text = told(422, &format!("/reason: {detail}"), &[("/reason", detail)]);
        assert_eq!(text, format!("/reason {detail}\nnext: the same with --reason \"why\""));
    }

    #[test]
    fn several_faults_have_a_line_each() {
        let text = told(422, "2 faults", &[("/variants", "are of two types"), ("/tags/3", "is 7, not text")]);
        assert_eq!(text, "2 faults\n  /variants are of two types\n  /tags/3 is 7, not text");
    }

    #[test]
    fn a_conflict_tells_its_field_once() {
        let detail = "is 0.1 here, not 1: nothing was changed";
        assert_eq!(told(409, detail, &[("/from", detail)]), format!("/from {detail}"));
    }

    #[test]
    fn a_step_too_large_explains_force() {
        let detail = "goes from 0.1 to 100; one change goes at most 10 times as much, unless \"force\": true says so";
        let text = told(422, &format!("/percentage: {detail}"), &[("/percentage", detail)]);
        assert!(text.ends_with("\nnext: the same with --force, or smaller steps"), "{text}");
    }

    #[test]
    fn our_own_faults_name_the_request() {
        let text = told(500, "something went wrong here", &[]);
        assert_eq!(text, "something went wrong here\n  request 77: the service's log has it under this id");
    }

    #[test]
    fn what_is_no_problem_is_told_as_such_and_kept_from_the_terminal() {
        let text = refusal(502, "<html>\u{1b}[2J").text();
        assert_eq!(text, "the answer is 502, and no problem of Storyflag's: is STORYFLAG_URL the service's address?");
        assert_eq!(told(404, "there is no flag \u{1b}[2J", &[]).lines().next(), Some("there is no flag \u{fffd}[2J"));
    }

    #[test]
    fn the_shell_is_told_who_has_to_do_something() {
        assert_eq!(Failure::usage("").exit_code(), ExitCode::from(2));
        assert_eq!(Failure::refused("").exit_code(), ExitCode::from(1));
    }

    #[test]
    fn only_the_first_hint_is_told() {
        let failure = Failure::refused("no").or_next("a").or_next("b");
        assert_eq!(failure.text(), "no\nnext: a");
    }
}
