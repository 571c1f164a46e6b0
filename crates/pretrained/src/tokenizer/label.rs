//! Tokens as a display shows them.

use tokenizers::Tokenizer as Inner;

/// How a vocabulary writes its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    /// Every byte as a printable character: `Ġ` is a space.
    Bytes,
    /// As text, with `▁` for a space, and perhaps bytes as `<0x0A>`.
    Text,
}

impl Writing {
    /// What the decoder, or else the pre-tokenizer, says.
    pub(super) fn of(inner: &Inner) -> Self {
        let written =
            [serde_json::to_string(&inner.get_decoder()), serde_json::to_string(&inner.get_pre_tokenizer())];
        let bytes = written.iter().flatten().any(|part| part.contains("\"ByteLevel\""));
        if bytes { Self::Bytes } else { Self::Text }
    }

    /// A token's label.
    pub(super) fn label(self, token: &str) -> String {
        match self {
            Self::Bytes => match token.chars().map(byte).collect::<Option<Vec<u8>>>() {
                Some(bytes) => shown_bytes(&bytes),
                None => shown(token),
            },
            Self::Text => {
                let hex = token.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
                match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                    Some(byte) => shown_bytes(&[byte]),
                    None => shown(&token.replace('▁', " ")),
                }
            }
        }
    }
}

/// The byte that a character of a byte-level vocabulary stands for: printable Latin-1 characters stand for themselves,
/// the other 68 bytes for the characters from U+0100 on.
fn byte(c: char) -> Option<u8> {
    let itself = |b: u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    match u32::from(c) {
        code @ 0..=0xff => u8::try_from(code).ok().filter(|&b| itself(b)),
        code @ 0x100..=0x143 => (0..=255u8).filter(|&b| !itself(b)).nth(code as usize - 0x100),
        _ => None,
    }
}

/// Bytes as text, those that are no character as `\xE2`.
fn shown_bytes(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        out.push_str(&shown(chunk.valid()));
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02X}"));
        }
    }
    out
}

/// A text with its spaces visible, on one line.
pub(super) fn shown(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            ' ' => out.push('␣'),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Control characters, and those that would change the direction or the width of what surrounds them.
            c if c.is_control()
                || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}') =>
            {
                out.push_str(&format!("\\u{{{:x}}}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::Writing::{Bytes, Text};

    #[test]
    fn spaces_and_line_breaks_are_visible() {
        assert_eq!(Bytes.label("Ġthe"), "␣the");
        assert_eq!(Bytes.label("Ċ"), "\\n");
        assert_eq!(Bytes.label("Ã©"), "é");
        assert_eq!(Bytes.label("âĢ"), "\\xE2\\x80");
        assert_eq!(Text.label("▁the"), "␣the");
        assert_eq!(Text.label("<0x0A>"), "\\n");
        assert_eq!(Text.label("<0xE2>"), "\\xE2");
        assert_eq!(Text.label("##ing"), "##ing");
        assert_eq!(Text.label("a\u{202e}b"), "a\\u{202e}b");
    }

    #[test]
    fn every_byte_has_a_character() {
        let mut seen: Vec<_> = (0..0x200).filter_map(char::from_u32).filter_map(super::byte).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..=255).collect::<Vec<u8>>());
    }
}
