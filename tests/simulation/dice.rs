//! Chance, by a seed.

use storyflag_release::machine::SplitMix;

/// Draws the same for the same seed, for ever.
#[derive(Debug, Clone)]
pub(crate) struct Dice(SplitMix);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        let mut mix = SplitMix(seed ^ 0x5374_6f72_7966_6c61);
        mix.draw();
        Self(mix)
    }

    /// Another, that draws on its own.
    pub(crate) fn fork(&mut self) -> Self {
        Self::new(self.draw())
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.0.draw()
    }

    /// 0 to `count` - 1.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.draw()) * count as u128) >> 64) as usize
    }

    /// Both ends included.
    pub(crate) fn between(&mut self, from: i64, to: i64) -> i64 {
        from + self.below((to - from + 1) as usize) as i64
    }

    /// So often in a hundred.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.below(from.len())]
    }

    /// `expected`, up or down to a whole number, so that it is right on average.
    pub(crate) fn round(&mut self, expected: f64) -> u64 {
        let whole = expected.floor();
        let rest = ((expected - whole) * 1_000_000.0) as usize;
        whole as u64 + u64::from(self.below(1_000_000) < rest)
    }
}
