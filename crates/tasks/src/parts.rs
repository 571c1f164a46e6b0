//! Labels that are scored apart, beside the least loss that any model can expect of them.

/// What a task knows of the labels of a batch because it drew them. Entries are (rows, len), and mean nothing where a
/// position has no label.
#[derive(Clone, Debug, PartialEq)]
pub struct Parts {
    /// What the parts are called.
    pub names: &'static [&'static str],
    /// To which of them each position belongs.
    pub part: Vec<usize>,
    /// −ln of each label's probability given all before it, in nats. Its mean over many labels is the Bayes loss, which
    /// no model is below but by chance.
    pub least: Vec<f64>,
}
