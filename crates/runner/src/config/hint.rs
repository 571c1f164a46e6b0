//! "Did you mean": the allowed name nearest to what was typed.

/// An allowed name, and words that people may know it by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) name: &'a str,
    pub(crate) title: &'a str,
}

/// The name nearest to `typed`, if one is near enough to be meant: by its letters, or because its title holds the word.
pub(crate) fn nearest<'a>(typed: &str, known: &[Known<'a>]) -> Option<&'a str> {
    let typed = typed.to_lowercase().replace('-', "_");
    let near = known
        .iter()
        .map(|k| (distance(&typed, &k.name.to_lowercase()), k.name))
        .min_by_key(|&(d, _)| d)
        .filter(|&(d, name)| d <= name.len().max(typed.len()) / 3 && d < typed.chars().count());
    let titled = || {
        let is_word =
            |title: &str| title.to_lowercase().split(|c: char| !c.is_alphanumeric()).any(|w| w == typed);
        known.iter().find(|k| typed.len() >= 3 && is_word(k.title))
    };
    near.map(|(_, name)| name).or_else(|| titled().map(|k| k.name))
}

/// [`nearest`] among names alone.
pub(crate) fn nearest_name<'a>(typed: &str, names: &[&'a str]) -> Option<&'a str> {
    let known: Vec<Known<'a>> = names.iter().map(|&name| Known { name, title: "" }).collect();
    nearest(typed, &known)
}

/// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    // A name that long is nobody's slip of the finger, and the table below is quadratic.
    if a.len() > 64 || b.len() > 64 {
        return usize::MAX;
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_find_the_name_and_strangers_do_not() {
        let names = ["none", "learned", "sinusoidal", "rope", "alibi"];
        assert_eq!(nearest_name("rpoe", &names), Some("rope"));
        assert_eq!(nearest_name("Sinusodal", &names), Some("sinusoidal"));
        assert_eq!(nearest_name("elephant", &names), None);
        assert_eq!(nearest_name("x", &names), None);
        assert_eq!(nearest_name("", &names), None);
    }

    #[test]
    fn a_word_of_the_title_finds_the_name() {
        let known = [Known { name: "rope", title: "Rotary position embedding" }];
        assert_eq!(nearest("rotary", &known), Some("rope"));
        assert_eq!(nearest("rot", &known), None);
    }
}
