//! The tokens of a text, as the detectors read them.

use std::collections::HashMap;

/// A text said twice: what stands at `start..start + period` stands again right after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Repeat {
    /// Where the first copy begins: after a special token, if there is one.
    pub start: usize,
    /// The length of a copy.
    pub period: usize,
}

impl Repeat {
    /// Whether ids are a sequence of at least four said twice, and nothing else but a token before it.
    pub fn find(ids: &[u32]) -> Option<Self> {
        let said_twice = |&start: &usize| {
            let period = ids.len().saturating_sub(start) / 2;
            let (once, twice) = (ids.get(start..start + period)?, ids.get(start + period..)?);
            (period >= 4 && once == twice).then_some(Self { start, period })
        };
        [0, 1].iter().find_map(said_twice)
    }
}

/// Token ids, and where each occurred before.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    /// The last earlier place of the same token, plus one; zero if there is none.
    before: Vec<u32>,
    repeat: Option<Repeat>,
}

impl Text {
    pub(crate) fn new(tokens: &[u32], repeat: Option<Repeat>) -> Self {
        let mut last: HashMap<u32, u32> = HashMap::new();
        let before =
            (1..).zip(tokens).map(|(place, &token)| last.insert(token, place).unwrap_or(0)).collect();
        Self { before, repeat }
    }

    pub(crate) fn len(&self) -> usize {
        self.before.len()
    }

    /// The places before `query` that hold its token, from the last to the first.
    pub(crate) fn earlier(&self, query: usize) -> impl Iterator<Item = usize> + '_ {
        let step = |place: usize| self.before.get(place).and_then(|&at| (at as usize).checked_sub(1));
        std::iter::successors(step(query), move |&place| step(place))
    }

    /// The place in the first copy of a query in the second.
    pub(crate) fn copied(&self, query: usize) -> Option<usize> {
        let Repeat { start, period } = self.repeat?;
        let place = query.checked_sub(period)?;
        (period > 0 && (start..start + period).contains(&place)).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_knows_its_earlier_places() {
        let text = Text::new(&[7, 8, 7, 7, 9], None);
        let earlier = |query| text.earlier(query).collect::<Vec<_>>();
        assert_eq!(earlier(3), [2, 0]);
        assert_eq!(earlier(2), [0]);
        assert!(
            earlier(0).is_empty() && earlier(1).is_empty() && earlier(4).is_empty() && earlier(99).is_empty()
        );
        assert_eq!(text.copied(3), None);
    }

    #[test]
    fn a_sequence_said_twice_is_recognised_with_and_without_a_token_before_it() {
        let found = |ids: &[u32]| Repeat::find(ids).map(|twice| (twice.start, twice.period));
        assert_eq!(found(&[1, 2, 3, 4, 1, 2, 3, 4]), Some((0, 4)));
        assert_eq!(found(&[9, 1, 2, 3, 4, 1, 2, 3, 4]), Some((1, 4)));
        // A constant sequence is one said twice.
        assert_eq!(found(&[5; 8]), Some((0, 4)));
    }

    #[test]
    fn what_is_short_or_not_wholly_said_twice_is_not_recognised() {
        let found = |ids: &[u32]| Repeat::find(ids).is_some();
        assert!(!found(&[]));
        assert!(!found(&[1]));
        assert!(!found(&[1, 2, 3, 1, 2, 3]));
        assert!(!found(&[1, 2, 3, 4, 1, 2, 3, 5]));
        assert!(!found(&[9, 9, 1, 2, 3, 4, 1, 2, 3, 4]));
        assert!(!found(&[1, 2, 3, 4, 1, 2, 3, 4, 9]));
    }

    #[test]
    fn only_the_second_copy_was_said_before() {
        let text = Text::new(&[0, 1, 2, 1, 2, 5], Some(Repeat { start: 1, period: 2 }));
        let places: Vec<_> = (0..6).map(|query| text.copied(query)).collect();
        assert_eq!(places, [None, None, None, Some(1), Some(2), None]);
    }
}
