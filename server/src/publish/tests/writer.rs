//! Writes as the service's use cases do: lock, rows, history, digest, commit.

use sha2::{Digest, Sha256};
use storyflag_evaluation::{CohortItem, CohortList, Identity, ItemKind, ListReference, item_hash, unit_hash};

use super::KEY;
use crate::{
    publish::{Committed, CommittedItem},
    store::{
        CohortRow, KeyRow, Store, Tx,
        tests::{NOW, change, flag, targeting},
    },
};

pub(crate) const SEED: u64 = 7;

pub(crate) struct Writer {
    pub(crate) store: Store,
    pub(crate) project: i64,
    pub(crate) environment: i64,
}

/// A flag's wire text.
pub(crate) fn flag_text(key: &str, millionths: u32) -> String {
    format!(
        r#"{{"key":"{key}","killed":false,"off":"off","variants":{{"off":false,"on":true}},"enabled":true,"seed":"{key}","unit":"targetingKey","prerequisites":[],"overrides":{{}},"rules":[],"rollout":{{"cohorts":["staff"],"millionths":{millionths},"serve":"on"}}}}"#
    )
}

impl Writer {
    pub(crate) async fn new(store: &Store, (project, environment): (i64, i64)) -> Self {
        let writer = Self { store: store.clone(), project, environment };
        writer.put_key("0000000000000001", KEY).await;
        writer
    }

    pub(crate) async fn put_key(&self, id: &str, key: &str) {
        let hash = Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let (id, name, created_by) = (id.to_owned(), "test".to_owned(), "ada".to_owned());
        let row = KeyRow { id, environment: self.environment, name, hash, created_at: NOW, created_by, revoked_at: None };
        let mut tx = self.store.begin().await.unwrap();
        tx.insert_key(&row).await.unwrap();
        tx.touch_settings(self.environment).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub(crate) async fn revoke_key(&self, id: &str) {
        let mut tx = self.store.begin().await.unwrap();
        assert!(tx.revoke_key(self.environment, id, NOW).await.unwrap());
        tx.touch_settings(self.environment).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Many revisions in one transaction, for tests that want them soon.
    pub(crate) async fn put_flags(&self, texts: impl IntoIterator<Item = (&str, String)>) -> Vec<Committed> {
        let mut tx = self.store.begin().await.unwrap();
        let mut all = Vec::new();
        for (key, text) in texts {
            all.push(self.put(&mut tx, ItemKind::Flag, key, Some(text)).await);
        }
        tx.commit().await.unwrap();
        all
    }

    pub(crate) async fn put_flag(&self, key: &str, millionths: u32) -> Committed {
        self.put_flags([(key, flag_text(key, millionths))]).await.remove(0)
    }

    pub(crate) async fn remove_flag(&self, key: &str) -> Committed {
        let mut tx = self.store.begin().await.unwrap();
        let committed = self.put(&mut tx, ItemKind::Flag, key, None).await;
        tx.commit().await.unwrap();
        committed
    }

    /// A cohort that names a list of these units; its digest and bytes.
    pub(crate) async fn put_cohort(&self, key: &str, units: &[&str]) -> (Committed, String, Vec<u8>) {
        let list = CohortList::from_hashes(units.iter().map(|unit| unit_hash(unit.as_bytes(), SEED)).collect());
        let (digest, count) = (list.digest(), u64::try_from(list.len()).unwrap());
        let reference = ListReference { digest: digest.clone(), count };
        let (unit, conditions) = ("targetingKey".to_owned(), Vec::new());
        let item = CohortItem { key: key.to_owned(), unit, seed: SEED, list: Some(reference), conditions };
        let mut tx = self.store.begin().await.unwrap();
        let committed = self.put(&mut tx, ItemKind::Cohort, key, Some(serde_json::to_string(&item).unwrap())).await;
        tx.commit().await.unwrap();
        (committed, digest, list.to_bytes())
    }

    pub(crate) async fn put_list(&self, cohort: &str, digest: &str, bytes: &[u8]) {
        let mut tx = self.store.begin().await.unwrap();
        tx.put_list(self.environment, cohort, digest, bytes, NOW).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn put(&self, tx: &mut Tx, kind: ItemKind, key: &str, text: Option<String>) -> Committed {
        // Long after the environment was made: a new incarnation may begin.
        let row = tx.lock_and_advance(self.environment, NOW + 3_600_000 + fastrand::i64(0..1_000)).await.unwrap().unwrap();
        let before = match kind {
            ItemKind::Flag => self.set_flag(tx, key, text.as_deref()).await,
            ItemKind::Cohort => self.set_cohort(tx, key, text.as_deref()).await,
        };
        tx.insert_change(&change(&row, kind.name(), key, text.as_deref())).await.unwrap();
        let hash = |text: &Option<String>| text.as_ref().map_or(0, |text| item_hash(kind, text));
        let digest = row.identity().digest.wrapping_sub(hash(&before)).wrapping_add(hash(&text));
        tx.settle_environment(self.environment, digest, row.flags, row.item_bytes).await.unwrap();
        let items = vec![CommittedItem { kind, key: key.into(), after: text.map(Into::into) }];
        Committed { environment: self.environment, identity: Identity { digest, ..row.identity() }, items }
    }

    async fn set_flag(&self, tx: &mut Tx, key: &str, text: Option<&str>) -> Option<String> {
        let before = tx.find_targeting(self.environment, key).await.unwrap();
        match (&before, text) {
            (Some(_), Some(text)) => drop(tx.update_targeting(self.environment, key, text, NOW, "ada").await.unwrap()),
            (Some(_), None) => tx.delete_targeting(self.environment, key).await.unwrap(),
            (None, Some(text)) => {
                let flag = match tx.find_flag(self.project, key).await.unwrap() {
                    Some(row) => row.id,
                    None => tx.insert_flag(&flag(self.project, key)).await.unwrap(),
                };
                tx.insert_targeting(&targeting(self.environment, flag, key, text)).await.unwrap();
            }
            (None, None) => panic!("there is no flag {key}"),
        }
        before.map(|row| row.item)
    }

    async fn set_cohort(&self, tx: &mut Tx, key: &str, text: Option<&str>) -> Option<String> {
        let before = tx.find_cohort(self.environment, key).await.unwrap();
        let text = text.unwrap_or_default().to_owned();
        match &before {
            Some(row) => drop(tx.update_cohort(&CohortRow { item: text, ..row.clone() }).await.unwrap()),
            None => drop(tx.insert_cohort(self.environment, key, "", &text, NOW).await.unwrap()),
        }
        before.map(|row| row.item)
    }
}
