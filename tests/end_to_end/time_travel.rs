//! "Was user-42 in at 14:03, and why?" After thousands of random writes the past answers as it did when it was the present.

use fastrand::Rng;
use serde_json::{Value, json};
use storyflag::{Client, Context, State};
use storyflag_tests::actors::{Actor, STAGING, flag_path};
use storyflag_tests::answer::Answer;
use storyflag_tests::eventually::when;
use storyflag_tests::{Backend, House, eventually, on_both_databases};

const WRITES: usize = 3_000;
const MOMENTS: usize = 200;
/// How many flags live at a time; archived ones are gone for good, and others come.
const FLAGS: usize = 25;
const COHORTS: usize = 6;
const USERS: usize = 60;
const COUNTRIES: [&str; 4] = ["DE", "FR", "IT", "US"];

on_both_databases!(the_past_answers_as_it_did_when_it_was_the_present);

async fn the_past_answers_as_it_did_when_it_was_the_present(backend: Backend) {
    let seed = std::env::var("STORYFLAG_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("STORYFLAG_TEST_SEED={seed}");
    let house = House::new(backend).await;
    let application = house.application(STAGING).await;
    let mut world = World { random: Rng::with_seed(seed), admin: house.admin(), flags: Vec::new(), born: 0 };
    let mut moments = Vec::new();
    let mut written = 0;
    let begun = std::time::Instant::now();
    while written < WRITES {
        if world.write().await {
            written += 1;
            if written % (WRITES / MOMENTS) == 0 {
                moments.push(Moment::record(&mut world, &application).await);
            }
        }
    }
    println!("{written} writes and {} moments in {:.1?}", moments.len(), begun.elapsed());
    assert_eq!(moments.len(), MOMENTS);
    for reason in ["DISABLED", "DEFAULT", "TARGETING_MATCH", "SPLIT"] {
        let seen = moments.iter().flat_map(|moment| moment.answers["flags"].as_array().unwrap());
        assert!(seen.filter(|answer| answer["reason"] == reason).count() > 20, "such a world proves little about {reason}");
    }

    // In no order, as people ask.
    world.random.shuffle(&mut moments);
    let begun = std::time::Instant::now();
    for moment in &moments {
        moment.is_still_so(&world.admin).await;
    }
    println!("{} moments asked again in {:.1?}", moments.len(), begun.elapsed());
}

/// What a context was answered at a moment.
struct Moment {
    at: jiff::Timestamp,
    context: Value,
    /// What the service answered, for every flag.
    answers: Value,
}

impl Moment {
    /// Asks the service and the application, which must agree, and lets the moment pass before anything else is written.
    async fn record(world: &mut World, application: &Client) -> Moment {
        let context = world.context();
        let of_the_sdk: Context = serde_json::from_value(context.clone()).unwrap();
        let revision = world.admin.revision().await;
        let answers = eventually("service and application answer alike", || async {
            let answers = world.admin.post("explain", &json!({"context": context})).await.expect(200).json;
            let status = application.status();
            let runs = status.identity.map(|identity| identity.revision);
            // Lists come a moment after the change that names them, here and there.
            when(runs == Some(revision) && status.missing_lists.is_empty(), (revision, &status))?;
            assert_eq!(status.state, State::Streaming);
            for answer in answers["flags"].as_array().unwrap() {
                let detail = application.detail(answer["flag"].as_str().unwrap(), &of_the_sdk);
                let told = (&answer["variant"], &answer["reason"], &answer["rule"], &answer["bucket"], &answer["arm"]);
                let found = (
                    json!(detail.variant),
                    json!(detail.reason.name()),
                    json!(detail.rule),
                    json!(detail.bucket),
                    json!(detail.arm.name()),
                );
                when(told == (&found.0, &found.1, &found.2, &found.3, &found.4), (answer, &detail))?;
            }
            Ok(answers)
        })
        .await;
        assert_eq!(answers["revision"], revision);
        let at = millisecond(jiff::Timestamp::now());
        eventually("the next millisecond", || async { when(millisecond(jiff::Timestamp::now()) > at, at) }).await;
        Moment { at, context, answers }
    }

    async fn is_still_so(&self, admin: &Actor) {
        let question = json!({"context": self.context, "at": self.at.to_string()});
        let now = admin.post("explain", &question).await.expect(200).json;
        assert_eq!(now["revision"], self.answers["revision"], "at {}", self.at);
        let flags = |answers: &Value| answers["flags"].as_array().unwrap().clone();
        let (was, is) = (flags(&self.answers), flags(&now));
        assert_eq!(is.len(), was.len(), "at {}", self.at);
        for (was, is) in was.iter().zip(&is) {
            assert_eq!(is, was, "at {} for {}", self.at, self.context);
        }
        // One flag alone is answered alike.
        if let Some(one) = was.first() {
            let path = format!("flags/{}/explain", one["flag"].as_str().unwrap());
            assert_eq!(admin.post(&path, &question).await.expect(200).json, *one, "at {}", self.at);
        }
    }
}

fn millisecond(at: jiff::Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(at.as_millisecond()).unwrap()
}

#[derive(Clone)]
struct Flag {
    key: String,
    /// Its first variant is its `off`.
    variants: [&'static str; 3],
}

/// Somebody who writes at random.
struct World {
    random: Rng,
    admin: Actor,
    flags: Vec<Flag>,
    born: usize,
}

impl World {
    /// One random write; whether it changed something.
    async fn write(&mut self) -> bool {
        if self.flags.len() < FLAGS && (self.flags.len() < 3 || self.random.u8(..) < 60) {
            return self.create_flag().await;
        }
        let flag = self.flags[self.random.usize(..self.flags.len())].clone();
        let answer = match self.random.u8(..100) {
            0..25 => self.raise(&flag).await,
            25..45 => self.put_targeting(&flag).await,
            45..53 => self.admin.kill(&flag.key).await,
            53..66 => self.admin.revive(&flag.key).await,
            66..74 => self.put_cohort().await,
            74..84 => self.put_members().await,
            84..95 => self.patch_members().await,
            95..97 => self.delete_cohort().await,
            _ => self.archive(&flag).await,
        };
        // What does not fit what stands (a cohort that is named or not there, a prerequisite that leads back) is refused.
        assert!(matches!(answer.status, 200 | 201 | 204 | 404 | 409 | 422), "{answer:?}");
        matches!(answer.status, 200 | 201 | 204)
    }

    async fn create_flag(&mut self) -> bool {
        self.born += 1;
        let key = format!("US-{}-story", self.born);
        let body = json!({"variants": {"none": "n", "blue": "b", "green": "g"}, "off": "none", "serve": "blue"});
        let variants = ["none", "blue", "green"];
        self.admin.create_flag_with(&key, &body).await;
        self.flags.push(Flag { key, variants });
        true
    }

    async fn archive(&mut self, flag: &Flag) -> Answer {
        let answer = self.admin.delete(&format!("{}?force=true&reason=over", flag_path(&flag.key))).await;
        if answer.status == 200 {
            self.flags.retain(|one| one.key != flag.key);
        }
        answer
    }

    async fn raise(&mut self, flag: &Flag) -> Answer {
        let percentage = self.percentage();
        self.admin.raise(&flag.key, percentage).await
    }

    async fn put_targeting(&mut self, flag: &Flag) -> Answer {
        let mut rules = Vec::new();
        for rule in 0..self.random.usize(..3) {
            let condition = self.condition(true);
            rules.push(json!({"id": format!("rule-{rule}"), "if": [condition], "serve": self.serve(flag)}));
        }
        let mut overrides = serde_json::Map::new();
        for _ in 0..self.random.usize(..3) {
            overrides.insert(self.user(), json!(self.variant(flag)));
        }
        let mut prerequisites = Vec::new();
        if self.random.u8(..5) == 0 {
            let other = self.flags[self.random.usize(..self.flags.len())].clone();
            prerequisites.push(json!({"flag": other.key, "variants": [self.variant(&other), self.variant(&other)]}));
        }
        let cohorts: Vec<String> = if self.random.bool() { vec![self.cohort()] } else { Vec::new() };
        let body = json!({
            "enabled": self.random.u8(..8) > 0,
            "unit": if self.random.u8(..4) == 0 { "account_id" } else { "targetingKey" },
            "prerequisites": prerequisites,
            "overrides": overrides,
            "rules": rules,
            "rollout": {"cohorts": cohorts, "percentage": self.percentage(), "serve": self.serve(flag), "otherwise": self.variant(flag)},
        });
        self.admin.put(&format!("flags/{}", flag.key), &body).await
    }

    async fn put_cohort(&mut self) -> Answer {
        let conditions: Vec<Value> = (0..self.random.usize(..3)).map(|_| self.condition(false)).collect();
        let unit = if self.random.u8(..4) == 0 { "account_id" } else { "targetingKey" };
        let path = format!("cohorts/{}", self.cohort());
        let request = |body: &Value| self.admin.request(reqwest::Method::PUT, &path).json(body);
        let body = json!({"unit": unit, "if": conditions});
        let created = request(&body).send().await;
        // It is there already: replace whatever version there is.
        if created.status == 409 { request(&body).header("if-match", "*").send().await } else { created }
    }

    async fn put_members(&mut self) -> Answer {
        let path = format!("cohorts/{}/members", self.cohort());
        let units: String = (0..self.random.usize(..USERS)).map(|_| self.user() + "\n").collect();
        self.admin.request(reqwest::Method::PUT, &path).body("text/plain", units).send().await
    }

    async fn patch_members(&mut self) -> Answer {
        let path = format!("cohorts/{}/members", self.cohort());
        let mut units: Vec<String> = (0..self.random.usize(1..12)).map(|_| self.user()).collect();
        units.sort_unstable();
        units.dedup();
        let remove = units.split_off(self.random.usize(..=units.len()));
        self.admin.patch(&path, &json!({"add": units, "remove": remove})).await
    }

    async fn delete_cohort(&mut self) -> Answer {
        let path = format!("cohorts/{}", self.cohort());
        self.admin.delete(&path).await
    }

    fn condition(&mut self, may_name_cohort: bool) -> Value {
        let not = self.random.u8(..4) == 0;
        let country = self.random.choice(COUNTRIES).unwrap();
        match self.random.u8(..6) {
            0 if may_name_cohort => json!({"in_cohort": self.cohort(), "not": not}),
            1 => json!({"attribute": "age", "less": self.random.u32(10..80), "not": not}),
            2 => {
                json!({"attribute": "version", "semver_at_least": format!("{}.{}.0", self.random.u8(1..4), self.random.u8(..9)), "not": not})
            }
            3 => json!({"attribute": "targetingKey", "ends_with": self.random.u8(..10).to_string(), "not": not}),
            4 => json!({"attribute": "age", "exists": self.random.bool()}),
            _ => json!({"attribute": "country", "in": [country, "CH"], "not": not}),
        }
    }

    fn serve(&mut self, flag: &Flag) -> Value {
        if self.random.u8(..3) > 0 {
            return json!(self.variant(flag));
        }
        let first = f64::from(self.random.u32(..=1_000_000)) / 10_000.0;
        let rest = f64::from(1_000_000 - (first * 10_000.0).round() as u32) / 10_000.0;
        json!([{"variant": flag.variants[1], "weight": first}, {"variant": flag.variants[2], "weight": rest}])
    }

    fn context(&mut self) -> Value {
        let mut context = json!({
            "targetingKey": self.user(),
            "country": self.random.choice(COUNTRIES),
            "version": format!("{}.{}.{}", self.random.u8(1..4), self.random.u8(..9), self.random.u8(..9)),
        });
        if self.random.bool() {
            context["age"] = json!(self.random.u32(10..80));
        }
        if self.random.u8(..4) > 0 {
            context["account_id"] = json!(self.user());
        }
        context
    }

    fn percentage(&mut self) -> f64 {
        match self.random.u8(..10) {
            0 => 0.0,
            1 => 100.0,
            _ => f64::from(self.random.u32(..=1_000_000)) / 10_000.0,
        }
    }

    fn variant(&mut self, flag: &Flag) -> &'static str {
        flag.variants[self.random.usize(..3)]
    }

    fn user(&mut self) -> String {
        format!("user-{}", self.random.usize(..USERS))
    }

    fn cohort(&mut self) -> String {
        format!("cohort-{}", self.random.usize(..COHORTS))
    }
}
