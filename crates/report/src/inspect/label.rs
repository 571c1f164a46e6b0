//! A token as a label: short, on one line, and unable to turn the text around it.

/// Characters of a label at most; what was cut shows as `…`.
const MOST: usize = 32;

/// What a token's text looks like beside a map: line breaks and other controls as visible signs, blanks at its ends as
/// `·`, characters that would change the direction of the text around it as their code point, at most 32 characters.
pub fn token_label(token: &str) -> String {
    if token.is_empty() {
        return "∅".to_owned();
    }
    let inner = token.trim_matches(' ');
    let before = token.len() - token.trim_start_matches(' ').len();
    let after = if inner.is_empty() { 0 } else { token.len() - token.trim_end_matches(' ').len() };
    let dots = |n: usize| std::iter::repeat_n('·', n.min(MOST));
    let mut label = String::new();
    // A sign may take several characters, so what is counted is characters of the token.
    for (count, c) in dots(before).chain(inner.chars()).chain(dots(after)).enumerate() {
        if count == MOST {
            label.push('…');
            break;
        }
        match c {
            '\n' | '\u{2028}' | '\u{2029}' | '\u{85}' => label.push('⏎'),
            '\r' => label.push('␍'),
            '\t' => label.push('⇥'),
            '\u{7f}' => label.push('␡'),
            c if u32::from(c) < 0x20 => label.extend(char::from_u32(0x2400 + u32::from(c))),
            c if turns_or_hides(c) || c.is_control() => label.push_str(&format!("‹{:X}›", u32::from(c))),
            c => label.push(c),
        }
    }
    label
}

/// Marks of direction, and characters without a glyph that are not part of an emoji.
fn turns_or_hides(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}' | '\u{200c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e001f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_and_blanks_show_and_nothing_turns_the_text() {
        assert_eq!(token_label(" the"), "·the");
        assert_eq!(token_label("   "), "···");
        assert_eq!(token_label(""), "∅");
        assert_eq!(token_label("a\n\t\u{2028}\0b"), "a⏎⇥⏎␀b");
        assert_eq!(token_label("x\u{202e}y"), "x‹202E›y");
        assert_eq!(token_label("שלום"), "שלום");
        assert_eq!(token_label("👩\u{200d}🔬"), "👩\u{200d}🔬");
    }

    #[test]
    fn a_token_of_ten_thousand_characters_is_cut() {
        let label = token_label(&"é".repeat(10_000));
        assert_eq!(label.chars().count(), MOST + 1);
        assert!(label.ends_with('…'));
        assert!(token_label(&" ".repeat(10_000)).len() < 200);
    }
}
