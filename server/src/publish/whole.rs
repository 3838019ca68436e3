//! Everything that an environment serves at one revision, encoded when somebody first asks.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use storyflag_evaluation::Identity;
use tokio::sync::OnceCell;

use super::{
    frame::{self, Encoded},
    items::Items,
};

/// Everything at one revision.
pub struct Whole {
    identity: Identity,
    encoded: Encoded,
    gzip: OnceCell<Bytes>,
}

impl Whole {
    pub(super) fn encode(identity: Identity, items: &Items) -> Self {
        Self { identity, encoded: frame::ruleset(identity, items), gzip: OnceCell::new() }
    }

    /// Which ruleset it is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The data of a `ruleset` event.
    pub fn body(&self) -> Bytes {
        self.encoded.body.clone()
    }

    /// The same, compressed once for all who ask, on a thread that may take its time; none while the runtime ends.
    pub async fn gzip(&self) -> Option<Bytes> {
        let compressed = self.gzip.get_or_try_init(|| async {
            let body = self.body();
            tokio::task::spawn_blocking(move || compress(&body)).await.map_err(io::Error::other)?
        });
        compressed.await.ok().cloned()
    }

    pub(super) fn event(&self) -> Bytes {
        self.encoded.event.clone()
    }
}

fn compress(body: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body)?;
    Ok(encoder.finish()?.into())
}
