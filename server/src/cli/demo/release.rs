//! A plan carries itself out: it is put, rehearsed and started; at 10 % the new code begins to fail and the release turns
//! back by itself; mended, it arrives at 100 %.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use serde_json::{Value, json};

use super::{
    DemoArgs, FLAG,
    checkout::{Checkout, Till},
    stage::Stage,
};
use crate::{
    api::documents::MARKDOWN,
    cli::{
        client::{Client, Query},
        failure::Failure,
        releases::{Entry, Face, Line, Log, Release, Scene, Screen, Tone, follow_release},
        table::{grouped, lasting, plain},
    },
};

/// The team's template, filled in.
const DOCUMENT: &str = include_str!("plan.md");
const PLAN: &str = "DP-123-checkout";
/// Where the new code begins to fail.
const BREAKS_AT: f64 = 10.0;
const PROJECT: &str = "/api/v1/projects/default";
const STAGING: &str = "/api/v1/projects/default/environments/staging";

pub(super) async fn play(args: &DemoArgs, stage: &Stage) -> Result<String, Failure> {
    let shop = Checkout::open(&stage.address, &stage.sdk_key, args.per_second).await?;
    // Whoever follows a release stops when the story is not told any more, as after ctrl-c.
    let over = Over(Arc::default());
    let teller = Teller {
        address: stage.address.clone(),
        operator: Client::new(&stage.address, &stage.token)?,
        per_second: args.per_second,
        time_scale: args.time_scale,
        till: shop.till(),
        is_over: Arc::clone(&over.0),
    };
    let told = tokio::task::spawn_blocking(move || teller.tell()).await.map_err(|error| Failure::refused(error.to_string()));
    shop.close().await;
    told?
}

/// True once dropped.
struct Over(Arc<AtomicBool>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The person at the keyboard.
struct Teller {
    address: String,
    operator: Client,
    per_second: u32,
    time_scale: u32,
    till: Arc<Till>,
    is_over: Arc<AtomicBool>,
}

impl Teller {
    fn tell(&self) -> Result<String, Failure> {
        let began = Instant::now();
        say(&format!("A service at {}, on a file that is gone when this ends. A shop on the SDK: two instances,", self.address));
        say(&format!("{} checkouts a second, three in ten by colleagues; one in 200 fails.", grouped(u64::from(self.per_second))));
        self.put_plan()?;
        self.rehearse("", &json!({}))?;
        let trouble = json!({"trouble": {"error_percentage": 4.5, "after": "2h"}});
        self.rehearse(" --trouble-errors 4.5 --trouble-after 2h", &trouble)?;
        say("\nNow in earnest. At 10 % the new code will begin to fail ten times as often as the old:");
        let first = self.release(true)?;
        let back = first.rollback.as_ref().filter(|rollback| rollback.verified && first.phase == "rolled_back");
        let back = back.ok_or_else(|| Failure::refused(format!("{} should be rolled back, and is {}", first.id, first.state)))?;
        say("\nThe new code is mended. Once more:");
        self.till.mend_new_code();
        let second = self.release(false)?;
        if second.phase != "completed" {
            return Err(Failure::refused(format!("{} should be completed, and is {}", second.id, second.state)));
        }
        let (checkouts, errors) = self.till.counts();
        let cause = first.cause.as_ref().map(|cause| plain(&cause.evidence)).unwrap_or_default();
        let took = back.took_ms.map(lasting).unwrap_or_default();
        let targets = second.targets.as_deref().unwrap_or("none named");
        Ok(format!(
            "\n{} turned back by itself, and saw within {took} that everybody did:\n  {cause}\n\
             {} went from 0.1 % to everybody by itself, targets {targets}: each step only when its own requests had shown that it may.\n\
             {} checkouts, {} of them failed; {} from the first line to this one.\n",
            plain(&first.id),
            plain(&second.id),
            grouped(checkouts),
            grouped(errors),
            lasting(i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX)),
        ))
    }

    fn put_plan(&self) -> Result<(), Failure> {
        let put = |path: &str, body: &Value| self.operator.send("PUT", path, &Query::default(), body);
        put(&format!("{PROJECT}/flags/{FLAG}"), &json!({"story": "US-123", "description": "The new checkout"}))?;
        let colleagues = json!({"if": [{"attribute": "colleague", "equals": true}]});
        put(&format!("{STAGING}/cohorts/internal-users"), &colleagues)?;
        say(&format!("\n$ storyflag plan put {PLAN}.md"));
        let steps = DOCUMENT.lines().skip_while(|line| *line != "Gradual rollout:").take_while(|line| !line.starts_with('#'));
        steps.filter(|line| !line.is_empty()).for_each(|line| say(&format!("  {line}")));
        let triggers = DOCUMENT.lines().skip_while(|line| *line != "### Automatic Rollback Triggers").skip(1);
        let triggers: Vec<&str> = triggers.take_while(|line| line.starts_with("- ")).map(|line| line.trim_start_matches("- ")).collect();
        say(&format!("  turns back at: {}, or 1.25 times the errors of the old code", triggers.join(", ")));
        self.operator.put_document(&format!("{PROJECT}/plans/{PLAN}"), &Query::default(), MARKDOWN, DOCUMENT).map(drop)
    }

    fn rehearse(&self, options: &str, body: &Value) -> Result<(), Failure> {
        say(&format!("\n$ storyflag rehearse {PLAN}{options}"));
        let answer = self.operator.send("POST", &format!("{PROJECT}/plans/{PLAN}/rehearse"), &Query::default(), body)?;
        let told: Value = answer.read()?;
        let text = |name: &str| told.get(name).and_then(Value::as_str).map(plain);
        let took = told.get("took_ms").and_then(Value::as_i64).map(lasting).unwrap_or_default();
        say(&format!("  {} after {took}", text("outcome").unwrap_or_default()));
        if let Some(cause) = text("cause") {
            say(&format!("  {cause}"));
        }
        Ok(())
    }

    /// Releases the plan and watches until it ends.
    fn release(&self, breaks: bool) -> Result<Release, Failure> {
        let send = |method: &str, path: &str, body: &Value| self.operator.send(method, path, &Query::default(), body);
        let created = send("POST", &format!("{STAGING}/releases"), &json!({"plan": PLAN, "time_scale": self.time_scale}))?;
        let release = Release::read(&created.text)?;
        let path = format!("{STAGING}/releases/{}", release.id);
        say(&format!("\n$ storyflag release start {PLAN} --time-scale {} --watch", self.time_scale));
        for item in release.to_tick() {
            send("PUT", &format!("{path}/checklist/{item}"), &json!({"done": true}))?;
        }
        let started = Release::read(&send("POST", &format!("{path}/start"), &json!({}))?.text)?;
        let mut face = Show {
            screen: Screen::of_stdout(),
            log: Log::default(),
            till: Arc::clone(&self.till),
            is_over: Arc::clone(&self.is_over),
            breaks,
        };
        let ended = follow_release(&self.operator, &path, "staging", started, &mut face)?;
        ended.ok_or_else(|| Failure::refused("stopped"))
    }
}

/// What is seen of a release, and of the shop.
struct Show {
    screen: Option<Screen>,
    log: Log,
    till: Arc<Till>,
    is_over: Arc<AtomicBool>,
    /// Whether the new code begins to fail on the way.
    breaks: bool,
}

impl Show {
    fn shop(&self) -> Line {
        let shop = Line::of(Tone::Dim, "THE SHOP  ");
        if self.till.is_broken() {
            shop.with(Tone::Bad, "the new code fails ten times as often as the old")
        } else {
            shop.with(Tone::Plain, "one checkout in 200 fails, in the old code as in the new")
        }
    }
}

impl Face for Show {
    fn show(&mut self, scene: &Scene) -> io::Result<()> {
        if self.is_over.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let is_there = scene.release.step.as_ref().is_some_and(|step| step.percentage >= BREAKS_AT);
        let begins = self.breaks && is_there && !scene.release.ended && self.till.break_new_code();
        let shop = self.shop();
        match &mut self.screen {
            Some(screen) => {
                let mut lines = scene.lines(screen.columns());
                lines.push(shop);
                screen.draw(&lines);
                Ok(())
            }
            None => {
                if begins {
                    say(&shop.render(false));
                }
                self.log.show(scene)
            }
        }
    }

    fn entry(&mut self, scene: &Scene, entry: &Entry) -> io::Result<()> {
        if self.screen.is_none() { self.log.entry(scene, entry) } else { Ok(()) }
    }
}

fn say(text: &str) {
    let mut out = io::stdout();
    // Nobody reads any more: the story goes on to its end, and its exit code tells.
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use storyflag_release::plan::{Media, read};

    use super::*;

    #[test]
    fn the_plan_can_be_carried_out() {
        let reading = read(Media::Markdown, DOCUMENT);
        assert_eq!((reading.faults, reading.not_executable), (Vec::new(), None));
        let plan = reading.plan.unwrap();
        assert_eq!((plan.plan.as_str(), plan.flag.as_str(), plan.steps.len()), (PLAN, FLAG, 5));
        assert_eq!(plan.steps[0].cohorts, ["internal-users"]);
    }
}
