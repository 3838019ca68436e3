//! What the four doors for SDKs share: the key.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use http::{header, request::Parts};

use crate::{
    error::Error,
    publish::{Environment, Hub, KeyScope},
};

/// Who asks: an application with a live SDK key.
pub struct Sdk {
    /// Its key.
    pub key: KeyScope,
    /// What the key opens.
    pub environment: Arc<Environment>,
}

impl<S: Send + Sync> FromRequestParts<S> for Sdk
where
    Hub: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let hub = Hub::from_ref(state);
        let presented = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let presented = presented.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let Some((_, presented)) = presented else {
            return Err(Error::Unauthorized);
        };
        // Wrong, revoked, of another service: nobody is told which.
        let key = hub.find_key(presented.trim()).ok_or(Error::Unauthorized)?;
        let environment = hub.environment(key.environment).ok_or(Error::Busy { retry_after: 1 })?;
        Ok(Self { key, environment })
    }
}
