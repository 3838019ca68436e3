//! Whoever made a request.

use axum::{
    extract::{FromRef, FromRequestParts},
    http::{header, request::Parts},
};

use super::{Right, Role, Tokens};
use crate::{error::Error, middleware::REQUEST_ID, store::EnvironmentRow};

/// Somebody with a valid token.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who: the token's `sub`.
    pub subject: String,
    /// As what.
    pub role: Role,
    /// Under this id the log and the history know the request.
    pub request_id: String,
    environments: Option<Vec<String>>,
}

impl Caller {
    /// The service itself, at its first start.
    pub(crate) fn service() -> Self {
        Self { subject: "storyflag".to_owned(), role: Role::Admin, request_id: "first-start".to_owned(), environments: None }
    }

    /// A release, which carries its plan out by itself.
    pub(crate) fn release(key: &str) -> Self {
        Self { subject: format!("release:{key}"), role: Role::Admin, request_id: key.to_owned(), environments: None }
    }

    /// Whether they may do this in an environment.
    ///
    /// # Errors
    /// [`Error::Forbidden`], naming the role that may.
    pub fn may(&self, right: Right, project: &str, environment: &EnvironmentRow) -> Result<(), Error> {
        self.reaches(project, &environment.key)?;
        self.is_at_least(Role::least_for(right, environment.protected), || {
            let protected = if environment.protected { "the protected environment" } else { "the environment" };
            format!("in {protected} {:?}", environment.key)
        })
    }

    /// Whether they may do this in a project as a whole, outside any environment.
    ///
    /// # Errors
    /// [`Error::Forbidden`], naming the role that may.
    pub fn may_in_project(&self, right: Right, project: &str) -> Result<(), Error> {
        if right == Right::Administer && self.environments.is_some() {
            return Err(Error::Forbidden("this token is for certain environments only".to_owned()));
        }
        self.is_at_least(Role::least_for(right, false), || format!("in project {project:?}"))
    }

    /// Whether the token is for this environment.
    ///
    /// # Errors
    /// [`Error::Forbidden`], naming those that it is for.
    pub fn reaches(&self, project: &str, environment: &str) -> Result<(), Error> {
        let Some(allowed) = &self.environments else { return Ok(()) };
        let is_this = |one: &String| match one.split_once('/') {
            Some((of, key)) => of == project && key == environment,
            None => one == environment,
        };
        if allowed.iter().any(is_this) {
            return Ok(());
        }
        Err(Error::Forbidden(format!("this token is for {} only", allowed.join(", "))))
    }

    fn is_at_least(&self, least: Role, place: impl Fn() -> String) -> Result<(), Error> {
        if self.role >= least {
            return Ok(());
        }
        Err(Error::Forbidden(format!("the role {} may not do this {}; it takes {least}", self.role, place())))
    }
}

impl<S> FromRequestParts<S> for Caller
where
    S: Send + Sync,
    Tokens: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let claims = Tokens::from_ref(state).verify(bearer(parts).ok_or(Error::Unauthorized)?)?;
        let request_id = parts.headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
        Ok(Self { subject: claims.sub, role: claims.role, request_id, environments: claims.environments })
    }
}

fn bearer(parts: &Parts) -> Option<&str> {
    let (scheme, token) = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
