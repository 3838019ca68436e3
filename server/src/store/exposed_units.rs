//! About how many different units were exposed at a revision of a rollout, over all processes and nodes.

use storyflag_evaluation::Arm;

use super::{Store, StoreError, Tx, minutes::arm_named, with_db, with_tx};

const LIST: &str = "select rollout_revision, arm, registers from exposed_units where environment = $1 and flag = $2 \
     order by rollout_revision, arm, node";
const FIND: &str =
    "select registers from exposed_units where environment = $1 and flag = $2 and rollout_revision = $3 and arm = $4 and node = $5";
const PUT: &str = "insert into exposed_units (environment, flag, rollout_revision, arm, node, registers, updated_at) \
     values ($1, $2, $3, $4, $5, $6, $7) on conflict (environment, flag, rollout_revision, arm, node) do update set \
     registers = excluded.registers, updated_at = excluded.updated_at";
/// Up to the two hundredth, which is found once; see `members`.
const PRUNE: &str = "delete from exposed_units where updated_at <= (select max(updated_at) from \
     (select updated_at from exposed_units where updated_at < $1 order by updated_at limit 200) as first)";

/// One digit of base64 a register.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const COUNT: usize = 4_096;

/// The registers of a HyperLogLog of precision 12, as SDKs send them: 4,096 digits of base64, each the rank of a register.
/// What two of them know together is the larger digit of every register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registers(Vec<u8>);

/// Registers that a node was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExposedRow {
    /// The environment's row.
    pub environment: i64,
    /// The flag's key.
    pub flag: String,
    /// The revision that set the rollout under which they were exposed.
    pub rollout_revision: u64,
    /// The arm.
    pub arm: Arm,
    /// The units.
    pub registers: Registers,
}

impl Registers {
    /// Reads digits; none where there are more or fewer, or others.
    pub fn read(digits: &str) -> Option<Self> {
        let ranks: Option<Vec<u8>> = digits.bytes().map(rank).collect();
        ranks.filter(|ranks| ranks.len() == COUNT).map(Self)
    }

    /// Adds what others know.
    pub fn merge(&mut self, other: &Self) {
        for (rank, more) in self.0.iter_mut().zip(&other.0) {
            *rank = (*rank).max(*more);
        }
    }

    /// As digits.
    pub fn digits(&self) -> String {
        self.0.iter().map(|rank| char::from(DIGITS.get(usize::from(*rank)).copied().unwrap_or(b'A'))).collect()
    }

    /// About how many different units: within 1.6 % two times of three.
    pub fn estimate(&self) -> u64 {
        let (mut sum, mut empty) = (0.0, 0.0);
        for rank in &self.0 {
            sum += 0.5_f64.powi(i32::from(*rank));
            empty += f64::from(u8::from(*rank == 0));
        }
        let registers = 4_096.0;
        let raw = 0.721_3 / (1.0 + 1.079 / registers) * registers * registers / sum;
        // Few units leave registers empty, and their number tells more.
        let units: f64 = if raw <= 2.5 * registers && empty > 0.0 { registers * (registers / empty).ln() } else { raw };
        whole(units)
    }
}

fn rank(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and `as` saturates")]
fn whole(units: f64) -> u64 {
    units.round() as u64
}

impl Store {
    /// Which units were exposed to a flag, by rollout revision and arm, over all nodes.
    ///
    /// # Errors
    /// The database away.
    pub async fn exposed_registers(&self, environment: i64, flag: &str) -> Result<Vec<(u64, Arm, Registers)>, StoreError> {
        let rows: Vec<(i64, String, String)> = with_db!(self, |db| sqlx::query_as(LIST).bind(environment).bind(flag).fetch_all(db).await)?;
        let mut sums: Vec<(u64, Arm, Registers)> = Vec::new();
        for (revision, arm, digits) in rows {
            let (Some(arm), Some(registers)) = (arm_named(&arm), Registers::read(&digits)) else { continue };
            match sums.last_mut().filter(|(known, known_arm, _)| (*known, *known_arm) == (revision.cast_unsigned(), arm)) {
                Some((_, _, sum)) => sum.merge(&registers),
                None => sums.push((revision.cast_unsigned(), arm, registers)),
            }
        }
        Ok(sums)
    }

    /// Adds what a node was told to what it wrote before.
    ///
    /// # Errors
    /// The database away: nothing was written.
    pub async fn put_exposed(&self, node: &str, exposed: &[ExposedRow], at: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        for row in exposed {
            tx.add_exposed(node, row, at).await?;
        }
        tx.commit().await
    }

    /// Removes what was last added to before `before`. In steps that hold no lock for long.
    ///
    /// # Errors
    /// The database away.
    pub async fn prune_exposed(&self, before: i64) -> Result<(), StoreError> {
        self.prune(PRUNE, before).await
    }
}

impl Tx {
    /// Adds registers to those of the node, which alone writes its row. One that knows them all stays as it is.
    ///
    /// # Errors
    /// The database away.
    pub async fn add_exposed(&mut self, node: &str, row: &ExposedRow, at: i64) -> Result<(), StoreError> {
        let (revision, arm) = (row.rollout_revision.cast_signed(), row.arm.name());
        let known: Option<String> = with_tx!(self, |db| {
            let query = sqlx::query_scalar(FIND).bind(row.environment).bind(&row.flag).bind(revision).bind(arm).bind(node);
            query.fetch_optional(db).await
        })?;
        let known = known.as_deref().and_then(Registers::read);
        let mut sum = row.registers.clone();
        known.iter().for_each(|known| sum.merge(known));
        if known.is_some_and(|known| known == sum) {
            return Ok(());
        }
        let digits = sum.digits();
        with_tx!(self, |db| {
            let query = sqlx::query(PUT).bind(row.environment).bind(&row.flag).bind(revision).bind(arm).bind(node).bind(&digits).bind(at);
            query.execute(db).await.map(drop)
        })
    }
}
