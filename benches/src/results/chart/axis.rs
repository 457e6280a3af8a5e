//! A logarithmic axis.

/// Maps values from `low` to `high` to pixels from `begin` to `end`, by their logarithm: a ratio
/// has the same length everywhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) begin: f64,
    pub(super) end: f64,
}

impl Axis {
    /// The pixel of a value; values outside are at the edge.
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = (value / self.low).ln() / (self.high / self.low).ln();
        self.begin + share.clamp(0.0, 1.0) * (self.end - self.begin)
    }

    /// The powers of `base` on the axis, from `low` to `high`.
    pub(super) fn powers(&self, base: f64) -> impl Iterator<Item = f64> {
        // The end is a power itself and may be computed slightly above `high`.
        let (low, end) = (self.low, self.high * 1.001);
        (0..)
            .map(move |n| low * base.powi(n))
            .take_while(move |power| *power <= end)
    }
}

/// The greatest power of `base` that is not above `value`.
pub(super) fn power_below(base: f64, value: f64) -> f64 {
    base.powf((value.ln() / base.ln()).floor())
}

/// The smallest power of `base` that is not below `value`.
pub(super) fn power_above(base: f64, value: f64) -> f64 {
    base.powf((value.ln() / base.ln()).ceil())
}
