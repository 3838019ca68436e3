//! Tokens of people: JWTs that this service signs itself, with one key that all its nodes share through the database.

use std::{collections::HashMap, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode, jwk::Jwk};
use serde::{Deserialize, Serialize};

use super::Role;
use crate::{
    error::Error,
    store::{SigningKeyRow, Store, StoreError},
};

/// How long a token is good for.
pub const TOKEN_LIFE: Duration = Duration::from_secs(8 * 3600);
const ISSUER: &str = "storyflag";
const AUDIENCE: &str = "storyflag-api";
/// Clocks of nodes may differ by so much.
const LEEWAY_SECONDS: u64 = 30;
/// A longer text is no token of ours and is not looked into.
const LONGEST_TOKEN: usize = 8 * 1024;
/// A PKCS #8 (RFC 8410) Ed25519 private key without its 32 bytes of seed.
const PKCS8_ED25519: [u8; 16] = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Issues and verifies tokens.
#[derive(Clone)]
pub struct Tokens {
    keys: Arc<Keys>,
}

struct Keys {
    signing: EncodingKey,
    signing_id: String,
    verifying: HashMap<String, DecodingKey>,
}

/// What a token says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claims {
    iss: String,
    aud: String,
    iat: u64,
    nbf: u64,
    exp: u64,
    /// Who.
    pub sub: String,
    /// As what.
    pub role: Role,
    /// Where: `project/environment`, or an environment's key in any project; absent: everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environments: Option<Vec<String>>,
}

impl Tokens {
    /// Reads the signing keys, and makes the first one when there is none.
    ///
    /// # Errors
    /// The database away; a key in it that is none.
    pub async fn load(store: &Store, now_ms: i64) -> Result<Self, TokensError> {
        let mut rows = store.list_signing_keys().await?;
        if rows.is_empty() {
            rows.push(store.signing_key(&candidate(now_ms)?).await?);
        }
        Self::of(&rows)
    }

    fn of(rows: &[SigningKeyRow]) -> Result<Self, TokensError> {
        let mut signing = None;
        let mut verifying = HashMap::new();
        for row in rows {
            let key = EncodingKey::from_ed_pem(row.private_key.as_bytes())?;
            let public = DecodingKey::from_jwk(&Jwk::from_encoding_key(&key, Algorithm::EdDSA)?)?;
            verifying.insert(row.id.clone(), public);
            // The first one signs; later ones only verify, so that a key can be introduced before it is used.
            signing.get_or_insert((key, row.id.clone()));
        }
        let (signing, signing_id) = signing.ok_or(TokensError::NoKey)?;
        Ok(Self { keys: Arc::new(Keys { signing, signing_id, verifying }) })
    }

    /// A token for `subject`, good for `life` from now on.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn issue(&self, subject: &str, role: Role, environments: Option<Vec<String>>, life: Duration) -> Result<String, TokensError> {
        let now = jsonwebtoken::get_current_timestamp();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            iat: now,
            nbf: now,
            exp: now.saturating_add(life.as_secs()),
            sub: subject.to_owned(),
            role,
            environments,
        };
        let header = Header { kid: Some(self.keys.signing_id.clone()), ..Header::new(Algorithm::EdDSA) };
        Ok(encode(&header, &claims, &self.keys.signing)?)
    }

    /// What a token says, if we signed it for ourselves and its time is now.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] for everything else, without saying why.
    pub fn verify(&self, token: &str) -> Result<Claims, Error> {
        self.verified(token).ok_or(Error::Unauthorized)
    }

    fn verified(&self, token: &str) -> Option<Claims> {
        if token.len() > LONGEST_TOKEN {
            return None;
        }
        let header = decode_header(token).ok()?;
        // Keys and algorithms come from our own records: what a token brings along is not a suggestion.
        if header.jku.is_some() || header.jwk.is_some() || header.x5u.is_some() || header.x5c.is_some() {
            return None;
        }
        let key = self.keys.verifying.get(header.kid.as_deref()?)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        let claims = decode::<Claims>(token, key, &validation).ok()?.claims;
        (!claims.sub.is_empty()).then_some(claims)
    }
}

/// Why there are no tokens.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key that is none, or a signature that could not be made.
    #[error("signing key: {0}")]
    Key(#[from] jsonwebtoken::errors::Error),
    /// The operating system gave no randomness.
    #[error("no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
    /// There is none.
    #[error("there is no signing key")]
    NoKey,
}

/// A new key, which becomes the key unless another node was faster.
fn candidate(now_ms: i64) -> Result<SigningKeyRow, TokensError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    let mut id = [0; 8];
    getrandom::fill(&mut id)?;
    let der = [PKCS8_ED25519.as_slice(), &seed].concat();
    let private_key = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der));
    Ok(SigningKeyRow { id: format!("{:016x}", u64::from_be_bytes(id)), private_key, created_at: now_ms })
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::*;

    fn tokens() -> Tokens {
        Tokens::of(&[candidate(0).unwrap()]).unwrap()
    }

    fn part(json: &Value) -> String {
        URL_SAFE_NO_PAD.encode(json.to_string())
    }

    /// Signed by our own key, whatever it says.
    fn signed(tokens: &Tokens, header: &Header, claims: &Value) -> String {
        encode(header, claims, &tokens.keys.signing).unwrap()
    }

    fn good_claims() -> Value {
        let now = jsonwebtoken::get_current_timestamp();
        json!({"iss": ISSUER, "aud": AUDIENCE, "iat": now, "nbf": now, "exp": now + 60, "sub": "ada", "role": "editor"})
    }

    fn header(tokens: &Tokens) -> Header {
        Header { kid: Some(tokens.keys.signing_id.clone()), ..Header::new(Algorithm::EdDSA) }
    }

    #[test]
    fn what_we_issue_we_verify() {
        let tokens = tokens();
        let token = tokens.issue("ada", Role::Editor, Some(vec!["default/staging".to_owned()]), TOKEN_LIFE).unwrap();
        let claims = tokens.verify(&token).unwrap();
        assert_eq!((claims.sub.as_str(), claims.role), ("ada", Role::Editor));
        assert_eq!(claims.environments.unwrap(), ["default/staging"]);
        assert!(tokens.verify(&signed(&tokens, &header(&tokens), &good_claims())).is_ok());
    }

    #[test]
    fn wrong_claims_are_refused() {
        let tokens = tokens();
        let now = jsonwebtoken::get_current_timestamp();
        for (claim, value) in [
            ("iss", json!("somebody")),
            ("aud", json!("another-api")),
            ("exp", json!(now - 31)),
            ("nbf", json!(now + 61)),
            ("nbf", json!("9999")),
            ("exp", json!("9999999999")),
            ("sub", json!("")),
            ("sub", json!(7)),
            ("role", json!("root")),
            ("role", json!(["admin"])),
            ("environments", json!("default/staging")),
        ] {
            let mut claims = good_claims();
            claims[claim] = value.clone();
            assert!(tokens.verify(&signed(&tokens, &header(&tokens), &claims)).is_err(), "{claim} {value}");
        }
        for claim in ["iss", "aud", "exp", "nbf", "sub", "role"] {
            let mut claims = good_claims();
            claims.as_object_mut().unwrap().remove(claim);
            assert!(tokens.verify(&signed(&tokens, &header(&tokens), &claims)).is_err(), "without {claim}");
        }
    }

    #[test]
    fn wrong_signatures_and_headers_are_refused() {
        let (ours, theirs) = (tokens(), tokens());
        let kid = ours.keys.signing_id.clone();
        let claims = good_claims();
        // Another key under our key's id.
        assert!(ours.verify(&signed(&theirs, &header(&ours), &claims)).is_err());
        // No key id, an unknown one, one that is a path.
        for kid in [None, Some(theirs.keys.signing_id.clone()), Some("../../dev/null".to_owned())] {
            assert!(ours.verify(&signed(&ours, &Header { kid, ..header(&ours) }, &claims)).is_err());
        }
        // `alg: none`, in its spellings.
        for alg in ["none", "None", "NONE", ""] {
            let token = format!("{}.{}.", part(&json!({"alg": alg, "typ": "JWT", "kid": kid})), part(&claims));
            assert!(ours.verify(&token).is_err(), "{alg}");
        }
        // HS256 with the public key as the secret.
        let public = Jwk::from_encoding_key(&ours.keys.signing, Algorithm::EdDSA).unwrap();
        let public = serde_json::to_value(&public).unwrap();
        let secret = URL_SAFE_NO_PAD.decode(public["x"].as_str().unwrap()).unwrap();
        let hs256 = Header { kid: Some(kid.clone()), ..Header::new(Algorithm::HS256) };
        assert!(ours.verify(&encode(&hs256, &claims, &EncodingKey::from_secret(&secret)).unwrap()).is_err());
        // A key that the token brings along.
        let jku = Header { jku: Some("http://127.0.0.1/keys".to_owned()), ..header(&ours) };
        assert!(ours.verify(&signed(&ours, &jku, &claims)).is_err());
        for text in ["", ".", "..", "a.b.c", "Bearer", &"x".repeat(LONGEST_TOKEN + 1)] {
            assert!(ours.verify(text).is_err());
        }
    }
}
