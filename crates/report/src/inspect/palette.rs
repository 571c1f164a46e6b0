//! The page's colours for pictures: its light ramp, and the neutrals of a figure on white.

/// Red, green, blue.
pub(super) type Rgb = [u8; 3];

pub(super) const PAPER: Rgb = [255, 255, 255];
pub(super) const INK: Rgb = [0x17, 0x1c, 0x23];
pub(super) const SOFT: Rgb = [0x58, 0x62, 0x71];
pub(super) const LINE: Rgb = [0xcf, 0xd6, 0xde];
/// Where a map has no key, or a head no value.
pub(super) const BLANK: Rgb = [0xfb, 0xfc, 0xfd];

/// From weak to strong; the page's script has the same stops.
const STOPS: [Rgb; 5] =
    [[0xf4, 0xf7, 0xfa], [0xbf, 0xd8, 0xec], [0x5f, 0xa2, 0xd3], [0x1c, 0x62, 0xa6], [0x0a, 0x23, 0x52]];

/// The colour of a share of `0..=1`; not-a-number is drawn as the weakest.
pub(super) fn ramp(share: f64) -> Rgb {
    let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
    let place = share * (STOPS.len() - 1) as f64;
    let below = (place as usize).min(STOPS.len() - 2);
    let (Some(a), Some(b)) = (STOPS.get(below), STOPS.get(below + 1)) else { return PAPER };
    let part = place - below as f64;
    std::array::from_fn(|i| {
        let (a, b) = (f64::from(a[i]), f64::from(b[i]));
        (a + (b - a) * part).round() as u8
    })
}

/// As a style sheet writes it.
pub(super) fn hex(colour: Rgb) -> String {
    let [r, g, b] = colour;
    format!("#{r:02x}{g:02x}{b:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_and_page_have_the_same_ramp() {
        let script = include_str!("../../assets/inspect/colour.js");
        let stops = STOPS.map(|s| format!("\"{}\"", hex(s))).join(", ");
        assert!(script.contains(&format!("sequence: [{stops}]")), "{stops}");
    }

    #[test]
    fn the_ramp_darkens_all_along() {
        let light = |share| ramp(share).iter().map(|c| u32::from(*c)).sum::<u32>();
        assert!((0..100).all(|i| light(f64::from(i) / 100.0) > light(f64::from(i + 1) / 100.0)));
        assert_eq!(ramp(f64::NAN), STOPS[0]);
        assert_eq!(ramp(7.0), STOPS[4]);
    }
}
