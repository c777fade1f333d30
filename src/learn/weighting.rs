//! How the objectives are weighed: one coefficient each, the end-task's first.

use tartan::action::Weights;

/// The coefficients of `objectives` objectives; given ones are used as they are.
pub fn coefficients(weights: &Weights, objectives: usize) -> Result<Vec<f64>, String> {
    match weights {
        Weights::Uniform => Ok(vec![1.0 / objectives as f64; objectives]),
        Weights::Static(given) if given.len() == objectives => Ok(given.clone()),
        Weights::Static(given) => {
            Err(format!("{} weights are given for {objectives} objectives", given.len()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_weights_sum_to_one_and_static_ones_are_taken_as_given() {
        assert_eq!(coefficients(&Weights::Uniform, 4), Ok(vec![0.25; 4]));
        assert_eq!(coefficients(&Weights::Static(vec![3.0, 0.5]), 2), Ok(vec![3.0, 0.5]));
        assert!(coefficients(&Weights::Static(vec![1.0]), 2).is_err());
    }
}
