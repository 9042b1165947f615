//! Colours made from a product's accent colour, so that everything can be read whatever it is.
//!
//! [WCAG 2.1](https://www.w3.org/TR/WCAG21/) AA: a contrast of 4.5:1 for text (1.4.3), of 3:1 for parts of controls (1.4.11).

use palette::color_difference::Wcag21RelativeContrast;
use palette::{FromColor, Mix, Oklab, Srgb};

use crate::config::AccentColor;

/// A little more than needed: the recommendation's coefficients of a colour's luminance are rounded, those of `palette` are not.
const TEXT: f64 = 4.52;
const PART: f64 = 3.02;
/// Between the colour as it is given and black or white.
const STEPS: u32 = 200;

const BLACK: Color = Color::new(0, 0, 0);
const WHITE: Color = Color::new(0xff, 0xff, 0xff);

type Color = Srgb<u8>;

/// What the colours stand on, as `app.css` has it: `--paper`, `--ground` and `--soft`.
struct Theme {
    grounds: [Color; 3],
    /// Where there is contrast to all of them.
    far: Color,
    /// How much of the colour is in `--accent-soft`.
    tint: f64,
}

const LIGHT: Theme =
    Theme { grounds: [WHITE, Color::new(0xf5, 0xf6, 0xf9), Color::new(0xee, 0xf0, 0xf5)], far: BLACK, tint: 0.12 };
const DARK: Theme = Theme {
    grounds: [Color::new(0x17, 0x1b, 0x24), Color::new(0x0f, 0x12, 0x19), Color::new(0x21, 0x27, 0x35)],
    far: WHITE,
    tint: 0.22,
};

/// The colours of one theme.
struct Accent {
    /// Links, marks, the focus.
    text: Color,
    /// The most important button.
    fill: Color,
    /// What stands on it.
    ink: Color,
    /// Behind a link that is chosen, and behind notes.
    soft: Color,
}

impl Accent {
    fn new(given: Color, theme: &Theme) -> Self {
        let soft = mixed(theme.grounds[0], given, theme.tint);
        let on_all =
            |color: Color, least: f64| theme.grounds.iter().all(|ground| contrast(color, *ground) >= least);
        let text = nearest(given, theme.far, |color| on_all(color, TEXT) && contrast(color, soft) >= TEXT);
        let fill = nearest(given, theme.far, |color| on_all(color, PART));
        // one of the two has 4.58:1 to any colour
        let ink = if contrast(WHITE, fill) >= TEXT { WHITE } else { BLACK };
        Self { text, fill, ink, soft }
    }

    fn properties(&self) -> String {
        let Self { text, fill, ink, soft } = self;
        format!("--accent:#{text:x};--accent-fill:#{fill:x};--accent-ink:#{ink:x};--accent-soft:#{soft:x}")
    }
}

/// The first that is good on the way from the given one.
fn nearest(given: Color, far: Color, is_good: impl Fn(Color) -> bool) -> Color {
    let mut ways = (0..STEPS).map(|step| mixed(given, far, f64::from(step) / f64::from(STEPS)));
    ways.find(|color| is_good(*color)).unwrap_or(far)
}

/// In a space where the hue stays.
fn mixed(from: Color, to: Color, part: f64) -> Color {
    if part == 0.0 {
        return from;
    }
    let in_lab = |color: Color| Oklab::from_color(color.into_format::<f64>());
    Srgb::from_color(in_lab(from).mix(in_lab(to), part)).into_format()
}

fn contrast(one: Color, other: Color) -> f64 {
    one.into_format::<f64>().relative_contrast(other.into_format())
}

/// A style sheet that comes after `app.css`.
pub(super) fn style(AccentColor([red, green, blue]): AccentColor) -> String {
    let given = Color::new(red, green, blue);
    let [light, dark] = [LIGHT, DARK].map(|theme| Accent::new(given, &theme).properties());
    // brightening a button on hover, as usual, could cost its words their contrast
    format!(
        ":root{{{light}}}\n\
         @media (prefers-color-scheme:dark){{:root:not([data-theme=\"light\"]){{{dark}}}}}\n\
         :root[data-theme=\"dark\"]{{{dark}}}\n\
         button.primary,.button.primary{{background:var(--accent-fill);border-color:var(--accent-fill)}}\n\
         button.primary:hover,.button.primary:hover{{background:var(--accent-fill);filter:none;box-shadow:0 0 0 2px var(--accent-soft)}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By the formulas of the recommendation, on their own.
    fn luminance(color: Color) -> f64 {
        let part = |part: u8| match f64::from(part) / 255.0 {
            low if low <= 0.04045 => low / 12.92,
            high => ((high + 0.055) / 1.055).powf(2.4),
        };
        0.2126 * part(color.red) + 0.7152 * part(color.green) + 0.0722 * part(color.blue)
    }

    fn ratio(one: Color, other: Color) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    fn check(given: Color) {
        for theme in [LIGHT, DARK] {
            let accent = Accent::new(given, &theme);
            let Accent { text, fill, ink, soft } = accent;
            for ground in theme.grounds.iter().chain([&soft]) {
                assert!(ratio(text, *ground) >= 4.5, "{given:x}: the text {text:x} on {ground:x}");
            }
            for ground in theme.grounds {
                assert!(ratio(fill, ground) >= 3.0, "{given:x}: the button {fill:x} on {ground:x}");
            }
            assert!(ratio(ink, fill) >= 4.5, "{given:x}: {ink:x} on the button {fill:x}");
            let is_good = theme.grounds.iter().all(|ground| ratio(given, *ground) >= 3.05);
            assert!(!is_good || fill == given, "{given:x} could stay as it is");
        }
    }

    #[test]
    fn what_is_made_of_any_sixteenth_colour_and_of_every_grey_can_be_read() {
        for index in 0..16u32.pow(3) {
            let part = |shift: u32| u8::try_from((index >> shift & 15) * 17).unwrap();
            check(Color::new(part(8), part(4), part(0)));
        }
        (0..=255).for_each(|grey| check(Color::new(grey, grey, grey)));
    }

    proptest! {
        #[test]
        fn what_is_made_of_any_colour_can_be_read(red: u8, green: u8, blue: u8) {
            check(Color::new(red, green, blue));
        }
    }

    #[test]
    fn the_grounds_are_those_of_the_style_sheet() {
        let style = include_str!("assets/app.css");
        let grounds = |theme: &Theme| theme.grounds.map(|ground| format!("#{ground:x}"));
        let [light, dark] = [LIGHT, DARK].map(|theme| grounds(&theme));
        assert_eq!(light[0], "#ffffff");
        assert!(style.contains(&format!("--paper: #fff; --ground: {}; --soft: {};", light[1], light[2])));
        let dark = format!("--paper: {}; --ground: {}; --soft: {};", dark[0], dark[1], dark[2]);
        assert_eq!(style.matches(&dark).count(), 2, "{dark}");
    }

    #[test]
    fn a_colour_that_can_be_read_stays_what_it_is() {
        let style = style(AccentColor([0x0a, 0x6c, 0x5a]));
        let light = style.lines().next().unwrap();
        assert!(light.contains("--accent:#0a6c5a;--accent-fill:#0a6c5a;--accent-ink:#ffffff;"), "{light}");
    }
}
