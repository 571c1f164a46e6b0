//! The learning rate as a function of the step.
//!
//! ```text
//! step < warmup:  peak · (step + 1) / warmup
//! then, with p = (step − warmup) / (total − warmup) held within [0, 1]:
//! constant        peak
//! linear          peak · (floor + (1 − floor) · (1 − p))
//! cosine          peak · (floor + (1 − floor) · (1 + cos πp) / 2)       (Loshchilov & Hutter, 2017)
//! ```

use serde::{Deserialize, Serialize};

/// The shape of the decay after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// No decay.
    #[default]
    Constant,
    /// A straight line down to the floor.
    Linear,
    /// Half a cosine down to the floor.
    Cosine,
}

/// A learning rate with linear warm-up and decay.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearningRate {
    /// The highest rate, reached at the end of the warm-up.
    pub peak: f64,
    /// Steps of linear warm-up; 0 starts at the peak.
    #[serde(default)]
    pub warmup: usize,
    /// Steps of the whole run; the floor is reached at this step and kept afterwards.
    pub total: usize,
    /// The shape of the decay.
    #[serde(default)]
    pub schedule: Schedule,
    /// The lowest rate of the decay, as a fraction of the peak.
    #[serde(default)]
    pub floor: f64,
}

impl LearningRate {
    /// The rate of step `step`, counted from 0.
    pub fn at(&self, step: usize) -> f64 {
        if step < self.warmup {
            return self.peak * (step + 1) as f64 / self.warmup as f64;
        }
        let length = self.total.saturating_sub(self.warmup).max(1) as f64;
        let progress = ((step - self.warmup) as f64 / length).min(1.0);
        let remaining = match self.schedule {
            Schedule::Constant => return self.peak,
            Schedule::Linear => 1.0 - progress,
            Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
        };
        self.peak * (self.floor + (1.0 - self.floor) * remaining)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(schedule: Schedule) -> LearningRate {
        LearningRate { peak: 2.0, warmup: 4, total: 14, schedule, floor: 0.1 }
    }

    #[test]
    fn warm_up_rises_in_equal_steps_and_ends_at_the_peak() {
        let rates: Vec<f64> = (0..5).map(|s| rate(Schedule::Linear).at(s)).collect();
        assert_eq!(rates, [0.5, 1.0, 1.5, 2.0, 2.0]);
    }

    #[test]
    fn each_shape_has_its_value_half_way_and_keeps_its_floor_after_the_end() {
        for (schedule, half, end) in
            [(Schedule::Constant, 2.0, 2.0), (Schedule::Linear, 1.1, 0.2), (Schedule::Cosine, 1.1, 0.2)]
        {
            assert!((rate(schedule).at(9) - half).abs() < 1e-12);
            assert!((rate(schedule).at(14) - end).abs() < 1e-12);
            assert!((rate(schedule).at(1000) - end).abs() < 1e-12);
        }
        let quarter = rate(Schedule::Cosine).at(4) + rate(Schedule::Cosine).at(14);
        assert!((quarter - 2.2).abs() < 1e-12);
        // A cosine lies above the line in its first half and below it in its second.
        assert!(rate(Schedule::Cosine).at(6) > rate(Schedule::Linear).at(6));
        assert!(rate(Schedule::Cosine).at(12) < rate(Schedule::Linear).at(12));
    }

    #[test]
    fn no_warm_up_starts_at_the_peak_and_an_empty_run_divides_by_nothing() {
        let lr = LearningRate { warmup: 0, total: 0, ..rate(Schedule::Linear) };
        assert_eq!(lr.at(0), 2.0);
        assert!(lr.at(5).is_finite());
    }
}
