use super::{Store, StoreError, with_db};
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct FreezeRow {
    pub from_at: i64,
    pub to_at: i64,
}
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
    pub async fn list_freezes(&self, environment: i64, ending_after: i64) -> Result<Vec<FreezeRow>, StoreError> {
        with_db!(self, |db| sqlx::query_as("select from_at, to_at from freezes where environment = $1 and to_at > $2")
            .bind(environment)
            .bind(ending_after)
            .fetch_all(db)
            .await)
    }
}
