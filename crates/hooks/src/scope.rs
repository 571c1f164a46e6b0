//! Which part of an activation is meant: batch entries, heads and rows.

use candle_core::Tensor;

use crate::error::{HookError, Result};
use crate::site::Site;

/// Indices along one axis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Select {
    /// All of them.
    #[default]
    All,
    /// These, ascending and without repeats.
    List(Vec<usize>),
}

impl Select {
    /// Whether `index` is meant.
    pub fn contains(&self, index: usize) -> bool {
        match self {
            Self::All => true,
            Self::List(list) => list.binary_search(&index).is_ok(),
        }
    }

    /// Whether the selection is not empty, ascending and without repeats.
    pub(crate) fn is_proper(&self) -> bool {
        match self {
            Self::All => true,
            Self::List(list) => !list.is_empty() && list.windows(2).all(|pair| pair[0] < pair[1]),
        }
    }

    /// The largest index named, if indices are named.
    pub fn last(&self) -> Option<usize> {
        match self {
            Self::All => None,
            Self::List(list) => list.iter().max().copied(),
        }
    }

    /// The indices out of `0..size`.
    pub fn indices(&self, size: usize) -> Vec<usize> {
        match self {
            Self::All => (0..size).collect(),
            Self::List(list) => list.clone(),
        }
    }
}

impl<I: IntoIterator<Item = usize>> From<I> for Select {
    /// The given indices, in ascending order and once each.
    fn from(indices: I) -> Self {
        let mut list: Vec<usize> = indices.into_iter().collect();
        list.sort_unstable();
        list.dedup();
        Self::List(list)
    }
}

/// The part of an activation that is meant. The default is all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Entries of the batch.
    pub batch: Select,
    /// Heads: query heads, or key/value heads at K, V and RotK. Must be `All` where a site has no heads.
    pub heads: Select,
    /// Query rows of a map; positions elsewhere.
    pub rows: Select,
}

/// All of an activation.
pub(crate) static WHOLE: Scope = Scope { batch: Select::All, heads: Select::All, rows: Select::All };

impl Scope {
    /// Whether this is all of the activation.
    pub fn is_whole(&self) -> bool {
        *self == WHOLE
    }

    /// The part of `value` that is meant, in the same order of axes. Gradients flow through it.
    ///
    /// An index beyond the tensor, or a tensor that does not have the site's axes, is an error.
    pub fn cut(&self, site: Site, value: &Tensor) -> Result<Tensor> {
        let mut cut = value.clone();
        for (what, select, axis) in self.on_axes(site, value)? {
            let Select::List(list) = select else { continue };
            let size = value.dim(axis)?;
            if *list == (0..size).collect::<Vec<_>>() {
                continue;
            }
            cut = match (list.first(), list.last()) {
                // A run of neighbours is a view; anything else is a copy.
                (Some(&first), Some(&last)) if last - first + 1 == list.len() => {
                    cut.narrow(axis, first, list.len())?
                }
                (Some(_), Some(_)) => {
                    let index: Vec<u32> = list.iter().map(|i| *i as u32).collect();
                    cut.contiguous()?.index_select(&Tensor::new(index, cut.device())?, axis)?
                }
                _ => {
                    return Err(HookError::BadSelection {
                        name: site.to_string(),
                        axis: what,
                        found: list.clone(),
                    });
                }
            };
        }
        Ok(cut)
    }

    /// The three selections with the axes they cut at `site`, checked against `value`'s shape.
    pub(crate) fn on_axes(&self, site: Site, value: &Tensor) -> Result<Vec<(&'static str, &Select, usize)>> {
        let axes = site.axes();
        if value.rank() != axes.rank {
            return Err(HookError::WrongRank {
                site: site.to_string(),
                found: value.dims().to_vec(),
                expected: axes.text,
            });
        }
        let mut cuts = vec![("batch", &self.batch, 0), ("rows", &self.rows, axes.rows)];
        match axes.heads.axis() {
            Some(axis) => cuts.push(("heads", &self.heads, axis)),
            None if self.heads != Select::All => {
                return Err(HookError::NoHeads { name: site.to_string(), axes: axes.text });
            }
            None => {}
        }
        for (axis, select, dim) in &cuts {
            if !select.is_proper() {
                return Err(HookError::BadSelection {
                    name: site.to_string(),
                    axis,
                    found: select.indices(0),
                });
            }
            let size = value.dim(*dim)?;
            if let Some(index) = select.last().filter(|last| *last >= size) {
                return Err(HookError::OutOfRange { site: site.to_string(), axis, index, size });
            }
        }
        Ok(cuts)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use candle_core::{Device, Var};

    use super::*;

    /// A tensor whose entry at (a, b, c, ..) is the number abc.. in decimal digits.
    fn coordinates(dims: &[usize]) -> Tensor {
        let count: usize = dims.iter().product();
        let values: Vec<f64> = (0..count)
            .map(|mut flat| {
                let mut value = 0.0;
                let mut place = 1.0;
                for size in dims.iter().rev() {
                    value += (flat % size) as f64 * place;
                    flat /= size;
                    place *= 10.0;
                }
                value
            })
            .collect();
        Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
    }

    fn first(t: &Tensor) -> f64 {
        t.flatten_all().unwrap().to_vec1::<f64>().unwrap()[0]
    }

    #[test]
    fn a_scope_cuts_the_axes_of_its_site() {
        let scope = Scope { batch: [1].into(), heads: [2, 4].into(), rows: [3, 5].into() };
        let z = coordinates(&[2, 6, 5, 7]); // (B, T, H, K)
        let cut = scope.cut(Site::Z, &z).unwrap();
        assert_eq!(cut.dims(), [1, 2, 2, 7]);
        assert_eq!(first(&cut), 1320.0);
        let map = coordinates(&[2, 5, 6, 7]); // (B, H, Tq, Tk)
        let cut = scope.cut(Site::Pattern, &map).unwrap();
        assert_eq!(cut.dims(), [1, 2, 2, 7]);
        assert_eq!(first(&cut), 1230.0);
        let rest = Scope { batch: [0].into(), heads: Select::All, rows: [3, 5].into() };
        let cut = rest.cut(Site::ResidPre, &coordinates(&[2, 6, 8])).unwrap();
        assert_eq!(cut.dims(), [1, 2, 8]);
        assert_eq!(first(&cut), 30.0);
    }

    #[test]
    fn every_site_is_cut_to_the_selected_sizes_on_its_own_axes() {
        let scope = |site: Site| Scope {
            batch: [0].into(),
            heads: if site.axes().heads.axis().is_some() { [0, 2].into() } else { Select::All },
            rows: [1, 2, 3].into(),
        };
        for site in Site::ALL {
            let axes = site.axes();
            let t = coordinates(&[5, 6, 7, 8][..axes.rank]);
            let cut = scope(site).cut(site, &t).unwrap();
            let mut expected = t.dims().to_vec();
            expected[0] = 1;
            expected[axes.rows] = 3;
            if let Some(axis) = axes.heads.axis() {
                expected[axis] = 2;
            }
            assert_eq!(cut.dims(), expected, "{site}");
        }
    }

    #[test]
    fn a_selection_beyond_the_tensor_is_an_error_naming_the_axis() {
        let scope = Scope { rows: [9].into(), ..Scope::default() };
        let error = scope.cut(Site::ResidPre, &coordinates(&[2, 6, 8])).unwrap_err().to_string();
        assert!(error.contains("rows 9 does not exist") && error.contains("has 6"), "{error}");
        let scope = Scope { heads: [0].into(), ..Scope::default() };
        assert!(matches!(
            scope.cut(Site::ResidPre, &coordinates(&[2, 6, 8])),
            Err(HookError::NoHeads { .. })
        ));
        assert!(matches!(scope.cut(Site::Z, &coordinates(&[2, 6, 8])), Err(HookError::WrongRank { .. })));
        let scope = Scope { rows: Select::List(vec![2, 1]), ..Scope::default() };
        assert!(matches!(
            scope.cut(Site::ResidPre, &coordinates(&[2, 6, 8])),
            Err(HookError::BadSelection { .. })
        ));
    }

    #[test]
    fn gradients_flow_through_a_cut() {
        let z = Var::from_tensor(&coordinates(&[1, 3, 2, 2])).unwrap();
        let scope = Scope { heads: [1].into(), rows: [0, 2].into(), ..Scope::default() };
        let sum = scope.cut(Site::Z, z.as_tensor()).unwrap().sum_all().unwrap();
        let grads = sum.backward().unwrap();
        let grad = grads.get(&z).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        assert_eq!(grad, [0., 0., 1., 1., 0., 0., 0., 0., 0., 0., 1., 1.]);
    }
}
