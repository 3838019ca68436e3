//! The team's template, filled in with a plan. What it has no words for stands under "Release Settings".

use std::fmt::Write as _;

use super::{part, rollout, yaml};
use crate::plan::{Audience, Bound, Checklist, Condition, Gate, Item, Kind, Measure, Message, Plan, When, checklist::slug};

pub(super) fn write(plan: &Plan) -> String {
    let mut page = Page { text: String::new(), settings: vec!["calendar", "relative_triggers", "unless_control_fails"] };
    let _ = writeln!(page.text, "# Deployment Plan: {}\n\n*Rollout strategy for story-level deployment*", plan.plan);
    page.references(plan);
    page.strategy(plan);
    page.checklists("Pre-Deployment Checklist", plan, |list| list.gate == Gate::Start);
    page.steps(plan);
    page.monitoring(plan);
    page.rollback(plan);
    page.validation(plan);
    page.communication(plan);
    page.success(plan);
    if !plan.checklists.iter().all(is_sayable_list) {
        page.settings.push("checklists");
    }
    page.release_settings(plan);
    page.schedule(plan);
    page.text.push_str("\n---\n\n*This deployment plan ensures safe, monitored rollout of the story implementation.*\n");
    page.text
}

struct Page {
    text: String,
    /// Keys of the plan that the template has no words for.
    settings: Vec<&'static str>,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn heading(&mut self, heading: &str) {
        self.line(&format!("\n{heading}"));
    }

    fn references(&mut self, plan: &Plan) {
        let is_sayable = |(name, value): &(String, String)| key_of(name) == *name && is_line(value) && !value.contains("[[");
        let story = plan.story.as_ref().filter(|story| is_line(story));
        if plan.story.is_some() && story.is_none() {
            self.settings.push("story");
        }
        let is_said = plan.references.0.iter().all(is_sayable);
        if !is_said {
            self.settings.push("references");
        }
        if story.is_none() && (plan.references.is_empty() || !is_said) {
            return;
        }
        self.heading("## Story Reference\n");
        if let Some(story) = story {
            self.line(&format!("**User Story**: [[{story}]]"));
        }
        for (name, value) in plan.references.0.iter().filter(|_| is_said) {
            let value = if name == "implementation_plan" { format!("[[{value}]]") } else { value.clone() };
            self.line(&format!("**{}**: {value}", title(name)));
        }
    }

    fn strategy(&mut self, plan: &Plan) {
        self.heading("## Deployment Strategy\n");
        self.line(&format!("**Approach**: {}", plan.approach.title()));
        if let Some(risk) = plan.risk {
            self.line(&format!("**Risk Level**: {}", risk.title()));
        }
        self.line(&format!("**Rollback Time**: {}", rollout::words(plan.rollback_time)));
    }

    fn checklists(&mut self, heading: &str, plan: &Plan, is_here: impl Fn(&Checklist) -> bool) {
        if !plan.checklists.iter().all(is_sayable_list) {
            return;
        }
        let lists: Vec<&Checklist> = plan.checklists.iter().filter(|list| is_here(list)).collect();
        if !lists.is_empty() && !heading.is_empty() {
            self.heading(&format!("## {heading}"));
        }
        for list in lists {
            self.heading(&format!("### {}", title(&list.group)));
            list.items.iter().for_each(|item| self.item(item));
        }
    }

    fn item(&mut self, item: &Item) {
        self.line(&format!("- [{}] {}", if item.done { "x" } else { " " }, item.text));
    }

    fn steps(&mut self, plan: &Plan) {
        self.heading("## Deployment Steps");
        let mut number = 0;
        for (name, code) in plan.runbook.0.iter().filter(|(name, _)| is_sayable_runbook(plan) && !is_at_home(name)) {
            number += 1;
            self.heading(&format!("### Step {number}: {}", title(name)));
            self.code("bash", code);
        }
        if !is_sayable_runbook(plan) {
            self.settings.push("runbook");
        }
        self.heading(&format!("### Step {}: Production Deployment", number + 1));
        if !plan.flag.is_empty() {
            self.heading("#### Option A: Feature Flag Deployment");
            self.code("yaml", &format!("feature_flags:\n  {}:\n    enabled: false\n    rollout_percentage: 0", plan.flag));
        }
        if !rollout::is_sayable(plan) {
            self.settings.push("steps");
        } else if !plan.steps.is_empty() {
            self.heading("Gradual rollout:");
            for (index, line) in rollout::lines(plan).iter().enumerate() {
                self.line(&format!("{}. {line}", index + 1));
            }
        }
    }

    fn code(&mut self, language: &str, code: &str) {
        let mut fence = "```".to_owned();
        while code.contains(&fence) {
            fence.push('`');
        }
        self.line(&format!("{fence}{language}\n{code}\n{fence}"));
    }

    fn monitoring(&mut self, plan: &Plan) {
        let is_watch = |text: &String| is_line(text) && !text.contains(['<', '>', '≤', '≥']);
        let has_targets = self.has_home("targets", plan.targets.iter().all(|target| is_line(&target.text)), plan.targets.is_empty());
        let has_watch = self.has_home("watch", plan.watch.iter().all(is_watch), plan.watch.is_empty());
        if !has_targets && !has_watch && plan.alerts.is_empty() {
            return;
        }
        self.heading("## Monitoring Plan");
        if has_targets || has_watch {
            self.heading("### Key Metrics to Watch");
        }
        if has_targets {
            self.line("- **Application Metrics**");
            for target in &plan.targets {
                self.line(&format!("  - {}", target_words(target)));
            }
        }
        if has_watch {
            self.line(if has_targets { "\n- **Business Metrics**" } else { "- **Business Metrics**" });
            for text in &plan.watch {
                self.line(&format!("  - {text}"));
            }
        }
        if !plan.alerts.is_empty() {
            self.heading("### Alerts Configuration");
            let alerts = yaml::write(&part(plan, &["alerts"]));
            self.code("yaml", alerts.trim_end());
        }
    }

    /// Whether a part of the plan is written in the template's words; else it goes to the settings.
    fn has_home(&mut self, key: &'static str, is_sayable: bool, is_empty: bool) -> bool {
        if !is_sayable {
            self.settings.push(key);
        }
        is_sayable && !is_empty
    }

    fn rollback(&mut self, plan: &Plan) {
        self.heading("## Rollback Plan");
        self.heading("### Automatic Rollback Triggers");
        if plan.triggers.is_empty() {
            self.line("- None");
        } else if self.has_home("triggers", plan.triggers.iter().all(|trigger| is_line(&trigger.text)), false) {
            for trigger in &plan.triggers {
                self.line(&format!("- {}", trigger_words(trigger)));
            }
        }
        let homes = [("### Manual Rollback Procedure", "bash", "rollback"), ("### Data Rollback (if needed)", "sql", "data_rollback")];
        for (heading, language, name) in homes {
            self.runbook(plan, heading, language, name);
        }
    }

    fn runbook(&mut self, plan: &Plan, heading: &str, language: &str, name: &str) {
        if let Some(code) = plan.runbook.get(name).filter(|_| is_sayable_runbook(plan)) {
            self.heading(heading);
            self.code(language, code);
        }
    }

    fn validation(&mut self, plan: &Plan) {
        let is_here = |list: &Checklist| list.gate == Gate::Complete && list.group != "success criteria";
        let has_tests = plan.runbook.get("smoke_tests").is_some() && is_sayable_runbook(plan);
        if has_tests {
            self.heading("## Post-Deployment Validation");
            self.runbook(plan, "### Smoke Tests", "bash", "smoke_tests");
        }
        self.checklists(if has_tests { "" } else { "Post-Deployment Validation" }, plan, is_here);
    }

    fn communication(&mut self, plan: &Plan) {
        if plan.communication.is_empty() {
            return;
        }
        self.heading("## Communication Plan");
        for (number, heading) in ["### Pre-Deployment", "### During Deployment", "### Post-Deployment"].into_iter().enumerate() {
            let messages: Vec<&Message> = plan.communication.iter().filter(|message| phase(message.when) == number).collect();
            if !messages.is_empty() {
                self.heading(heading);
            }
            for message in messages {
                self.line(&format!("- **{}**: {}", label(message), when_words(message.when)));
            }
        }
    }

    fn success(&mut self, plan: &Plan) {
        if !plan.checklists.iter().all(is_sayable_list) {
            return;
        }
        for list in plan.checklists.iter().filter(|list| list.gate == Gate::Complete && list.group == "success criteria") {
            self.heading("## Success Criteria\n\nDeployment is successful when:");
            list.items.iter().for_each(|item| self.item(item));
        }
    }

    fn release_settings(&mut self, plan: &Plan) {
        let settings = yaml::write(&part(plan, &self.settings));
        self.heading("## Release Settings");
        self.code("yaml", settings.trim_end());
    }

    fn schedule(&mut self, plan: &Plan) {
        let rows = rollout::rows(plan);
        if rows.is_empty() || !rollout::is_sayable(plan) {
            return;
        }
        self.heading("## Rollout Schedule\n");
        self.line("| Phase | Date/Time | Action | Success Criteria |\n|-------|-----------|--------|-----------------|");
        rows.iter().for_each(|row| self.line(row));
    }
}

/// Whether the text stands on a line of its own and reads back as it is.
fn is_line(text: &str) -> bool {
    let begins =
        text.starts_with(char::is_alphanumeric) && !text.trim_start_matches(|letter: char| letter.is_ascii_digit()).starts_with(['.', ')']);
    begins && text.trim() == text && !text.chars().any(char::is_control) && !text.contains(" *(")
}

fn is_sayable_list(list: &Checklist) -> bool {
    let is_group = slug(&list.group).replace('-', " ") == list.group && !list.group.is_empty();
    // The one group that stands under its own heading is no group before a start.
    is_group && list.items.iter().all(|item| is_line(&item.text)) && !list.items.is_empty()
}

/// Whether the name of a command has a place of its own in the template.
fn is_at_home(name: &str) -> bool {
    matches!(name, "rollback" | "data_rollback" | "smoke_tests")
}

fn is_sayable_runbook(plan: &Plan) -> bool {
    plan.runbook.0.iter().all(|(name, code)| {
        let is_name = key_of(name) == *name && !name.starts_with("step") && name.starts_with(|letter: char| letter.is_ascii_lowercase());
        // A line that is blank at either end, or a flag's own block, would read otherwise.
        is_name && code.trim() == code && !code.contains('\r') && !code.contains("feature_flags")
    })
}

fn key_of(name: &str) -> String {
    slug(name).replace('-', "_")
}

/// `code_readiness` as a heading: `Code Readiness`.
fn title(name: &str) -> String {
    let words = name.split(['_', ' ']).map(|word| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_uppercase().chain(letters).collect::<String>()).unwrap_or_default()
    });
    words.collect::<Vec<_>>().join(" ")
}

fn target_words(condition: &Condition) -> String {
    let (sign, bound) = (condition.comparison.sign(), condition.bound);
    match (&condition.measure, bound) {
        (Measure::ErrorRate, Bound::Share(_)) => format!("Error rate: {sign} {bound}"),
        (Measure::SuccessRate, Bound::Share(_)) => format!("Success rate: {sign} {bound}"),
        (Measure::Latency(quantile), _) => format!("Response time ({}): {sign} {bound}", quantile.name()),
        _ => condition.text.clone(),
    }
}

fn trigger_words(condition: &Condition) -> String {
    let (sign, bound) = (condition.comparison.sign(), condition.bound);
    match (&condition.measure, bound) {
        (Measure::ErrorRate, Bound::Share(_)) => format!("Error rate {sign} {bound}"),
        (Measure::SuccessRate, Bound::Share(_)) => format!("Success rate {sign} {bound}"),
        (Measure::Latency(quantile), _) => format!("Response time {sign} {bound} ({})", quantile.name()),
        _ => condition.text.clone(),
    }
}

/// Before, during or after the deployment.
const fn phase(when: When) -> usize {
    match when {
        When::Before(_) | When::MorningOfDeployment => 0,
        When::Every(_) | When::Immediately => 1,
        When::UponCompletion | When::NextDay => 2,
    }
}

fn label(message: &Message) -> String {
    let known = match (message.kind, message.to) {
        (Kind::Announcement, Audience::Team) => "Team Notification",
        (Kind::Announcement, Audience::Stakeholders) => "Stakeholder Update",
        (Kind::Status, Audience::Team) => "Status Updates",
        (Kind::Escalation, Audience::OnCall) => "Issue Escalation",
        (Kind::Success, Audience::Team) => "Success Notification",
        (Kind::Report, Audience::Stakeholders) => "Metrics Report",
        (kind, to) => return format!("{} to {}", title(kind.name()), to.name().replace('_', " ")),
    };
    known.to_owned()
}

fn when_words(when: When) -> String {
    match when {
        When::Before(span) => format!("{} before", rollout::words(span)),
        When::Every(span) => format!("Every {}", rollout::words(span)),
        When::Immediately => "Immediate".to_owned(),
        When::UponCompletion => "Upon completion".to_owned(),
        When::MorningOfDeployment => "Morning of deployment".to_owned(),
        When::NextDay => "Next day".to_owned(),
    }
}
