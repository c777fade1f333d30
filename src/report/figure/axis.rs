//! Round bounds and ticks around numbers, and how a tick is written.

/// A linear scale between round bounds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
    /// Round numbers from `low` to `high`.
    pub(super) ticks: Vec<f64>,
    step: f64,
}

impl Axis {
    /// The tightest round bounds around the values, with about five ticks; `None` where there are no values.
    pub(super) fn around(values: impl Iterator<Item = f64>) -> Option<Self> {
        let (low, high) = values
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            return None;
        }
        // One value, or values that differ by less than can be told from rounding, get room of their own.
        let size = low.abs().max(high.abs());
        let (low, high) = match high - low {
            _ if size < 1e-100 => (0.0, 1.0),
            span if span > 1e-9 * size => (low, high),
            _ => (low - 0.05 * size, high + 0.05 * size),
        };
        let step = round_step((high - low) / 5.0);
        let (first, last) = ((low / step).floor(), (high / step).ceil());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "about five")]
        let count = (last - first) as u32;
        let ticks: Vec<f64> = (0..=count).map(|i| (first + f64::from(i)) * step).collect();
        // Products with a step like 0.1 may fall short of the value by a rounding.
        Some(Self { low: low.min(first * step), high: high.max(last * step), ticks, step })
    }

    /// The same ticks, but bounds that are the values' own.
    pub(super) fn tight(mut self, low: f64, high: f64) -> Self {
        if low < high {
            self.ticks.retain(|tick| (low..=high).contains(tick));
            (self.low, self.high) = (low, high);
        }
        self
    }

    /// Where a value is between the places of `low` and `high`.
    pub(super) fn place(&self, value: f64, at_low: f64, at_high: f64) -> f64 {
        at_low + (value - self.low) / (self.high - self.low) * (at_high - at_low)
    }

    /// A tick, with as many decimals as tell it from the next.
    pub(super) fn label(&self, tick: f64) -> String {
        let size = self.low.abs().max(self.high.abs());
        if !(1e-4..1e6).contains(&size) {
            return written(tick);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 15")]
        let decimals = (-(self.step * 1.000_001).log10().floor()).clamp(0.0, 15.0) as usize;
        minus(&format!("{tick:.decimals$}"))
    }
}

/// The smallest of 1, 2, 5, 10, 20 … that is not below a number.
fn round_step(at_least: f64) -> f64 {
    let power = 10_f64.powf(at_least.log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|digit| digit * power);
    steps.into_iter().find(|step| *step >= at_least * 0.999_999).unwrap_or(10.0 * power)
}

/// A number in its shortest form, of four digits at most unless it is a whole one: `0.5`, `100`, `2e7`.
pub(super) fn written(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e7).contains(&size) {
        let rounded: f64 = format!("{value:.3e}").parse().unwrap_or(value);
        return minus(&format!("{rounded:e}"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 7")]
    let decimals = if size == 0.0 { 0 } else { (3.0 - size.log10().floor()).clamp(0.0, 7.0) as usize };
    let text = format!("{value:.decimals$}");
    minus(if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text })
}

/// With a minus sign rather than a hyphen, and no minus before zero.
pub(super) fn minus(text: &str) -> String {
    match text.strip_prefix('-') {
        Some(rest) if rest.chars().all(|c| c == '0' || c == '.') => rest.to_owned(),
        _ => text.replace('-', "−"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[f64]) -> Vec<String> {
        let axis = Axis::around(values.iter().copied()).expect("values");
        assert!(values.iter().all(|value| axis.low <= *value && *value <= axis.high), "{axis:?} {values:?}");
        axis.ticks.iter().map(|tick| axis.label(*tick)).collect()
    }

    #[test]
    fn bounds_are_round_and_hold_all() {
        assert_eq!(labels(&[61.3, 84.9]), ["60", "65", "70", "75", "80", "85"]);
        assert_eq!(labels(&[0.1, 0.3]), ["0.10", "0.15", "0.20", "0.25", "0.30"]);
        assert_eq!(labels(&[-0.2, 0.1]), ["−0.2", "−0.1", "0.0", "0.1"]);
        assert_eq!(labels(&[0.0]), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&[70.0, 70.0]), ["66", "68", "70", "72", "74"]);
        assert_eq!(labels(&[2e9, 5e9]).first().map(String::as_str), Some("2e9"));
        for extreme in [1e100, -1e100, 1e-100, 5e-324, 1.0 + f64::EPSILON, 1e15] {
            assert!(labels(&[extreme, extreme]).len() > 1, "{extreme}");
            assert!(labels(&[0.0, extreme]).len() < 20, "{extreme}");
        }
        assert_eq!(Axis::around([].into_iter()), None);
    }

    #[test]
    fn numbers_are_written_short() {
        for (value, text) in [
            (1.0, "1"),
            (0.5, "0.5"),
            (100.0, "100"),
            (12345.0, "12345"),
            (1e7, "1e7"),
            (-2.5, "−2.5"),
            (1e-5, "1e−5"),
            (1.0 / 3.0, "0.3333"),
            (0.0, "0"),
        ] {
            assert_eq!(written(value), text);
        }
    }
}
