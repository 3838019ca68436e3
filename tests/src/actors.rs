//! People with a role. Every line of a test says who does what: `release_manager.raise("US-123-checkout", 1.0)`.

use std::fmt::{self, Display};

use reqwest::Method;
use serde_json::{Value, json};

use crate::answer::Answer;

/// The environment that a test means when it says nothing else: staging, which is not protected.
pub const STAGING: &str = "staging";
/// The environment that is protected from the first start on.
pub const PRODUCTION: &str = "production";

/// Somebody with a token, at work in one environment of the default project.
#[derive(Clone)]
pub struct Actor {
    role: String,
    base: String,
    token: Option<String>,
    environment: String,
    http: reqwest::Client,
}

impl Actor {
    /// Somebody with this token at the service at `base` (`http://host:port`), in staging.
    pub fn new(role: impl Display, base: impl Into<String>, token: impl Into<String>) -> Actor {
        let (role, base, token) = (role.to_string(), base.into(), Some(token.into()));
        Actor { role, base, token, environment: STAGING.to_owned(), http: reqwest::Client::new() }
    }

    /// The same at work in another environment.
    pub fn in_environment(&self, environment: &str) -> Actor {
        Actor { environment: environment.to_owned(), ..self.clone() }
    }

    /// The same at another node.
    pub fn at(&self, base: impl Into<String>) -> Actor {
        Actor { base: base.into(), ..self.clone() }
    }

    /// Somebody with another token, or with none.
    pub fn with_token(&self, role: &str, token: Option<&str>) -> Actor {
        Actor { role: role.to_owned(), token: token.map(str::to_owned), ..self.clone() }
    }

    /// Where the service is: `http://host:port`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The token.
    ///
    /// # Panics
    /// When there is none.
    pub fn token(&self) -> &str {
        self.token.as_deref().expect("an actor with a token")
    }

    /// A request. A path that begins with `/` is whole, another one lies in the actor's environment.
    pub fn request(&self, method: Method, path: &str) -> Request {
        let path = match path.strip_prefix('/') {
            Some(_) => path.to_owned(),
            None => format!("/api/v1/projects/default/environments/{}/{path}", self.environment),
        };
        let mut builder = self.http.request(method.clone(), format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            builder = builder.bearer_auth(token);
        }
        Request { asked: format!("{method} {path} as {}", self.role), builder }
    }

    /// Reads.
    pub async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path).send().await
    }

    /// Puts a JSON body.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.request(Method::PUT, path).json(body).send().await
    }

    /// Patches with a JSON body.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.request(Method::PATCH, path).json(body).send().await
    }

    /// Posts a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.request(Method::POST, path).json(body).send().await
    }

    /// Deletes.
    pub async fn delete(&self, path: &str) -> Answer {
        self.request(Method::DELETE, path).send().await
    }

    /// Creates a boolean flag.
    ///
    /// # Panics
    /// When the service says anything but 201.
    pub async fn create_flag(&self, flag: &str) -> Answer {
        self.create_flag_with(flag, &json!({})).await
    }

    /// Creates a flag with this body.
    ///
    /// # Panics
    /// When the service says anything but 201.
    pub async fn create_flag_with(&self, flag: &str, body: &Value) -> Answer {
        self.put(&flag_path(flag), body).await.expect(201)
    }

    /// Raises, or lowers, the percentage; the reason is given, as a protected environment wants it.
    pub async fn raise(&self, flag: &str, percentage: f64) -> Answer {
        let body = json!({"percentage": percentage, "reason": "an end-to-end test"});
        self.patch(&format!("flags/{flag}/rollout"), &body).await
    }

    /// The same as [`Actor::raise`], past every bound.
    pub async fn force(&self, flag: &str, percentage: f64) -> Answer {
        let body = json!({"percentage": percentage, "reason": "an end-to-end test", "force": true});
        self.patch(&format!("flags/{flag}/rollout"), &body).await
    }

    /// Creates a cohort with these units.
    ///
    /// # Panics
    /// When the service says anything but 201 and 200.
    pub async fn create_cohort(&self, cohort: &str, units: &[&str]) -> Answer {
        self.put(&format!("cohorts/{cohort}"), &json!({})).await.expect(201);
        self.put_members(cohort, &units.join("\n")).await.expect(200)
    }

    /// Replaces a cohort's list: one unit a line.
    pub async fn put_members(&self, cohort: &str, lines: &str) -> Answer {
        let request = self.request(Method::PUT, &format!("cohorts/{cohort}/members"));
        request.body("text/plain", lines.to_owned()).send().await
    }

    /// Replaces the flag's targeting here; the reason is given, as a protected environment wants it.
    pub async fn put_targeting(&self, flag: &str, targeting: Value) -> Answer {
        self.put(&format!("flags/{flag}?reason=an%20end-to-end%20test"), &targeting).await
    }

    /// Kills the flag here.
    pub async fn kill(&self, flag: &str) -> Answer {
        self.post(&format!("flags/{flag}/kill"), &json!({})).await
    }

    /// Revives the flag here.
    pub async fn revive(&self, flag: &str) -> Answer {
        self.post(&format!("flags/{flag}/revive"), &json!({"reason": "an end-to-end test"})).await
    }

    /// The flag's targeting here.
    ///
    /// # Panics
    /// When the service says anything but 200.
    pub async fn targeting(&self, flag: &str) -> Answer {
        self.get(&format!("flags/{flag}")).await.expect(200)
    }

    /// Everything that a write may change here, as the service tells it: what is compared when nothing was to change.
    ///
    /// # Panics
    /// When the service does not tell.
    pub async fn everything(&self) -> Vec<String> {
        let project = "/api/v1/projects/default";
        let mut told = Vec::new();
        for path in [
            format!("{project}/environments"),
            format!("{project}/flags?limit=1000"),
            format!("{project}/flags?limit=1000&archived=true"),
            format!("{project}/plans?limit=1000"),
            "flags?limit=1000".to_owned(),
            "cohorts?limit=1000".to_owned(),
            "keys".to_owned(),
            "freezes?all=true".to_owned(),
            "changes?limit=1000".to_owned(),
        ] {
            told.push(self.get(&path).await.expect(200).text);
        }
        told
    }

    /// The number of the environment's last change that is served.
    ///
    /// # Panics
    /// When the service does not tell.
    pub async fn revision(&self) -> u64 {
        let path = format!("/api/v1/projects/default/environments/{}", self.environment);
        self.get(&path).await.expect(200).number("revision")
    }
}

/// Where a flag itself is, apart from its targetings.
pub fn flag_path(flag: &str) -> String {
    format!("/api/v1/projects/default/flags/{flag}")
}

/// A request that is not sent yet.
pub struct Request {
    asked: String,
    builder: reqwest::RequestBuilder,
}

impl Request {
    /// With a JSON body.
    pub fn json(self, body: &Value) -> Request {
        Request { builder: self.builder.json(body), ..self }
    }

    /// With a body of any media type.
    pub fn body(self, media_type: &str, body: impl Into<reqwest::Body>) -> Request {
        Request { builder: self.builder.header("content-type", media_type).body(body), ..self }
    }

    /// With a header.
    pub fn header(self, name: &str, value: &str) -> Request {
        Request { builder: self.builder.header(name, value), ..self }
    }

    /// Sends it and reads the whole answer.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send(self) -> Answer {
        let asked = self.asked.clone();
        self.try_send().await.unwrap_or_else(|error| panic!("{asked}: {error}"))
    }

    /// Sends it; `Err` when the connection broke, and nobody knows what became of it.
    ///
    /// # Errors
    /// What the connection said.
    pub async fn try_send(self) -> Result<Answer, String> {
        let response = self.builder.send().await.map_err(|error| error.to_string())?;
        Answer::read(self.asked, response).await
    }
}

impl fmt::Debug for Actor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} in {}", self.role, self.environment)
    }
}
