//! Judges text of others that people are shown inside sentences of ours: names, and reasons to listen.
//!
//! Not HTML and not logs, which escape by themselves. Invariant: what is presentable stays on its line, does not turn
//! around what stands beside it, and shows something.

/// Tells whether a text can be shown.
pub fn is_presentable(text: &str) -> bool {
    !text.chars().any(is_steering) && text.chars().any(is_visible)
}

/// Tells whether a character ends the line, or changes the direction of what follows (Unicode UAX #9, §2) or its kind.
pub fn is_steering(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Tells whether a character leaves a mark: neither space nor one that is not displayed (Unicode UAX #44,
/// `Default_Ignorable_Code_Point`), nor the empty Braille pattern.
pub fn is_visible(character: char) -> bool {
    !character.is_whitespace()
        && !character.is_control()
        && !matches!(
            character,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_are_shown() {
        let cases = [
            ("Paul D.", true),
            ("Léa-Marie O’Brien", true),
            ("עומר", true),
            ("ليلى", true),
            ("کاربر\u{200c}ها", true),
            ("👩\u{200d}🔧", true),
            ("<b>Paul</b>", true),
            ("", false),
            ("  ", false),
            ("\u{200b}\u{feff}", false),
            ("\u{3164}", false),
            ("\u{2800}", false),
            ("\u{a0}\u{ad}", false),
            ("a\nb", false),
            ("a\u{0}b", false),
            ("a\u{9b}b", false),
            ("a\u{2028}b", false),
            ("a\u{202e}b", false),
            ("a\u{2066}b", false),
            ("a\u{e0041}b", false),
        ];
        for (text, want) in cases {
            assert_eq!(is_presentable(text), want, "{text:?}");
        }
    }
}
