//! About how many different units there were, in a form that can be added up over processes: a HyperLogLog.
//!
//! 4,096 registers (precision 12, so a standard error of 1.6 %). A register holds at most 53, which is one digit of
//! base64: the text is one digit a register, and is at the same time the base64 of the registers packed in six bits each.

/// One digit a register.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Registers of the whole.
const REGISTERS: usize = 4_096;

/// The registers of the units in one shard: those whose number has the shard's in its lowest bits.
#[derive(Debug, Default)]
pub(super) struct Distinct {
    registers: Vec<u8>,
}

impl Distinct {
    /// Adds a unit.
    ///
    /// The upper bits of a hash decide who is in: at 0.1 % all who are in share ten of them. So the register comes from
    /// the lowest twelve bits, and its value from the zeros above them.
    pub(super) fn add(&mut self, hash: u64) {
        let rank = (hash >> 12).trailing_zeros().min(52).saturating_add(1);
        let register = usize::try_from(hash % 4_096).unwrap_or(0) / super::SHARDS;
        if self.registers.is_empty() {
            self.registers.resize(REGISTERS / super::SHARDS, 0);
        }
        if let Some(register) = self.registers.get_mut(register) {
            *register = (*register).max(u8::try_from(rank).unwrap_or(u8::MAX));
        }
    }

    /// Writes the digits of this shard between those of the others.
    pub(super) fn write(&self, shard: usize, digits: &mut Vec<u8>) {
        if self.registers.is_empty() {
            return;
        }
        digits.resize(REGISTERS, b'A');
        for (digit, rank) in digits.iter_mut().skip(shard).step_by(super::SHARDS).zip(&self.registers) {
            *digit = DIGITS.get(usize::from(*rank)).copied().unwrap_or(b'A');
        }
    }
}

#[cfg(test)]
mod tests {
    use storyflag_evaluation::{bucket, flag_seed, unit_hash};

    use super::*;
    use crate::outcomes::SHARDS;

    /// What whoever reads the text makes of it.
    fn estimate(text: &[u8]) -> f64 {
        let ranks = text.iter().map(|digit| DIGITS.iter().position(|known| known == digit).unwrap());
        let (mut sum, mut empty) = (0.0, 0.0);
        for rank in ranks {
            sum += 0.5_f64.powi(i32::try_from(rank).unwrap());
            empty += f64::from(u8::from(rank == 0));
        }
        let raw = 0.721_3 / (1.0 + 1.079 / 4_096.0) * 4_096.0 * 4_096.0 / sum;
        if raw <= 2.5 * 4_096.0 && empty > 0.0 { 4_096.0 * (4_096.0_f64 / empty).ln() } else { raw }
    }

    #[test]
    fn it_knows_about_how_many_there_were_even_of_a_small_percentage() {
        let seed = flag_seed("US-123-checkout");
        for (users, below) in [(3_000, 1_000_000), (200_000, 1_000_000), (1_000_000, 10_000)] {
            let mut shards: Vec<Distinct> = (0..SHARDS).map(|_| Distinct::default()).collect();
            let mut count = 0.0;
            for user in (0..users).map(|number| format!("user-{number}")).filter(|user| bucket(user.as_bytes(), seed) < below) {
                let hash = unit_hash(user.as_bytes(), seed);
                shards[usize::try_from(hash).unwrap() % SHARDS].add(hash);
                count += 1.0;
            }
            let mut digits = Vec::new();
            shards.iter().enumerate().for_each(|(number, shard)| shard.write(number, &mut digits));
            assert_eq!(digits.len(), REGISTERS);
            let ratio = estimate(&digits) / count;
            assert!((0.95..1.05).contains(&ratio), "{users} users below {below}: {ratio}");
        }
    }

    #[test]
    fn nobody_is_nothing() {
        let mut digits = Vec::new();
        Distinct::default().write(0, &mut digits);
        assert!(digits.is_empty());
    }
}
