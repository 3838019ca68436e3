use super::{Store, StoreError, with_db};
impl Store {
    pub async fn seconds_after(
        &self,
        environment: i64,
        node: &str,
        after: i64,
        limit: i64,
    ) -> Result<Vec<storyflag_release::run::Row>, StoreError> {
        let rows: Vec<(i64, String)> = with_db!(self, |db| sqlx::query_as(
            "select second, heard from telemetry_seconds where environment = $1 and node = $2 and second > $3 order by second limit $4"
        )
        .bind(environment)
        .bind(node)
        .bind(after)
        .bind(limit)
        .fetch_all(db)
        .await)?;
        Ok(rows
            .into_iter()
            .map(|(second, heard)| storyflag_release::run::Row {
                node: node.to_owned(),
                second,
                heard: serde_json::from_str(&heard).unwrap_or_default(),
            })
            .collect())
    }
}
