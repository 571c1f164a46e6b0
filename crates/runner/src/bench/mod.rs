//! What `attnlab bench` measures: a training step, a look at the heads, a grid of small runs.
//!
//! The model, the counting of operations and the JSON keys are those of `scripts/bench/pytorch_baseline.py`. Candle is
//! taken to keep to one thread, which whoever starts the process has to see to: the threads here are the runner's.

mod capture;
mod grid;
mod peak;
mod rig;
mod size;
mod train;
mod usage;

pub use capture::{Capture, CaptureResult, What};
pub use grid::{Grid, GridResult};
pub use size::{Size, SizeResult};
pub use train::{Train, TrainResult};
pub(crate) use usage::cpu_ms;
pub use usage::peak_rss_mib;

/// Sorts times and takes the middle one; the mean of the two middle ones of an even number.
fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    match times.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => times[n / 2],
        n => (times[n / 2 - 1] + times[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle_of_what_was_measured() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&mut []).is_nan());
    }
}
