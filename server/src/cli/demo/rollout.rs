//! A percentage reaches a shop of 100,000 users, by hand. After each step every user is asked about on every instance, so
//! that "nobody was dropped" is counted, not claimed.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    DemoArgs, FLAG,
    screen::{Lag, Row, Screen},
    shop::{Served, Shop},
    stage::Stage,
};
use crate::cli::{
    client::{Client, Query},
    failure::Failure,
    table::counted,
};

const STEPS: [f64; 5] = [0.1, 1.0, 10.0, 50.0, 100.0];
/// How often the live line is drawn.
const FRAME: Duration = Duration::from_millis(100);

/// What a write answered, as much as is shown.
#[derive(Debug, Deserialize)]
struct Written {
    revision: u64,
}

/// The person who raises the percentage, and everybody who is asked about.
struct Play<'a> {
    operator: Client,
    shop: Shop,
    screen: &'a mut Screen,
    hold: Duration,
    /// Who was served after the last step.
    served: Served,
}

pub(super) async fn play(args: &DemoArgs, stage: &Stage, screen: &mut Screen) -> Result<String, Failure> {
    screen.line(&format!("A service at {}, on a file that is gone when this ends.", stage.address));
    let operator = Client::new(&stage.address, &stage.token)?;
    send(
        &operator,
        "PUT",
        &format!("/api/v1/projects/default/flags/{FLAG}"),
        json!({"story": "US-123", "description": "The new checkout"}),
    )
    .await?;
    let shop = Shop::open(&stage.address, &stage.sdk_key, args.users).await?;
    let users = counted(u64::from(args.users), "user");
    screen.line(&format!("A shop of {users}, two instances on the SDK. {FLAG} is raised in staging over HTTP:\n"));
    screen.head(&users);
    let served = shop.ask_all().await?;
    let mut play = Play { operator, shop, screen, hold: Duration::from_millis(args.hold_ms), served };
    let ending = play.all_steps().await;
    play.shop.close().await;
    ending
}

impl Play<'_> {
    async fn all_steps(&mut self) -> Result<String, Failure> {
        let mut slowest = Lag::default();
        for percentage in STEPS {
            let row = self.step(&format!("{percentage} %"), "PATCH", "rollout", json!({"percentage": percentage})).await?;
            slowest = slowest.max(row.lag);
            if row.dropped > 0 {
                return Err(Failure::refused(format!("{} who were served before are not any more", counted(row.dropped, "user"))));
            }
        }
        let before = self.served.clone();
        let killed = self.step("kill", "POST", "kill", json!({})).await?;
        if self.served.count() > 0 {
            return Err(Failure::refused(format!("{} are still served after the kill", counted(self.served.count(), "user"))));
        }
        let revived = self.step("revive", "POST", "revive", json!({"reason": "the demo goes on"})).await?;
        if self.served != before {
            return Err(Failure::refused("after the revive it is not the same users as before the kill"));
        }
        slowest = slowest.max(killed.lag).max(revived.lag);
        Ok(format!(
            "\nNobody was dropped while it rose, the kill reached everybody, the revive brought the same users back, and\n\
             the last instance served every change {slowest}, at the latest.\n"
        ))
    }

    /// One write, and what came of it.
    async fn step(&mut self, asked: &str, method: &str, what: &str, body: Value) -> Result<Row, Failure> {
        let path = format!("/api/v1/projects/default/environments/staging/flags/{FLAG}/{what}");
        let (revision, answered) = send(&self.operator, method, &path, body).await?;
        let arrived = self.shop.all_serve(revision).await?;
        let now = self.shop.ask_all().await?;
        let row = Row {
            asked: asked.to_owned(),
            served: now.count(),
            users: now.len(),
            kept: now.both(&self.served),
            dropped: self.served.count().saturating_sub(now.both(&self.served)),
            revision,
            lag: Lag::between(answered, arrived),
        };
        self.served = now;
        self.screen.row(&row);
        self.watch(asked).await;
        Ok(row)
    }

    /// The shop at work, for as long as a step is watched.
    async fn watch(&mut self, asked: &str) {
        let began = Instant::now();
        let before = self.shop.traffic();
        while self.screen.is_live() && began.elapsed() < self.hold {
            tokio::time::sleep(FRAME.min(self.hold)).await;
            self.screen.live(asked, &self.shop.traffic().since(&before), began.elapsed());
        }
        self.screen.wipe();
    }
}

/// The revision that a write answered, and when.
async fn send(operator: &Client, method: &str, path: &str, body: Value) -> Result<(u64, Instant), Failure> {
    let (operator, method, path) = (operator.clone(), method.to_owned(), path.to_owned());
    let sent = tokio::task::spawn_blocking(move || {
        let answer = operator.send(&method, &path, &Query::default(), &body)?;
        let answered = Instant::now();
        // Creating a flag answers no revision: it is not of one environment.
        let revision = answer.read::<Written>().map_or(0, |written| written.revision);
        Ok((revision, answered))
    });
    sent.await.map_err(|error| Failure::refused(error.to_string()))?
}
