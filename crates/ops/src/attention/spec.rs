//! Which keys a query sees.

/// Which keys a query sees, and what the scores are made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionSpec {
    /// The factor on q · k, usually 1/√K.
    pub scale: f64,
    /// Key j is visible to query row i iff j ≤ i + (Tk − Tq): the last query sees every key.
    pub causal: bool,
    /// Only distances below the window: i − j < w, and |i − j| < w when not causal.
    pub window: Option<usize>,
    /// Scores are bent into ±cap before bias and mask, `s = cap · tanh(scale · q·k / cap)` (Gemma 2; Riviere et al.,
    /// 2024). It must be finite and above zero.
    pub softcap: Option<f64>,
}

impl AttentionSpec {
    /// The visible keys `begin..end` of query row `row`; empty ranges have `begin == end`.
    #[inline]
    pub fn visible(&self, row: usize, tq: usize, tk: usize) -> (usize, usize) {
        let last = tk as i64;
        let i = row as i64 + last - tq as i64;
        let window = self.window.map(|w| i64::try_from(w).unwrap_or(i64::MAX));
        let mut begin = 0;
        let mut end = if self.causal { i + 1 } else { last };
        if let Some(w) = window {
            begin = i.saturating_sub(w).saturating_add(1);
            if !self.causal {
                end = i.saturating_add(w);
            }
        }
        let begin = begin.clamp(0, last);
        let end = end.clamp(begin, last);
        (begin as usize, end as usize)
    }
}
