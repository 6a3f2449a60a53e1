//! Judges text of others that people are shown beside words of ours: names, and reasons to listen.
//!
//! Not HTML and not logs, which escape by themselves. Invariant: what is presentable stays on its line, does not turn
//! around what stands beside it, and shows something.

use std::hash::{DefaultHasher, Hash, Hasher};

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_security::skeleton;

/// How many marks one letter of a name may bear (Unicode UTS #39, §5.4): the languages of people need fewer.
const MARKS_IN_A_ROW_MAX: usize = 4;

/// Tells whether a text can be the name of somebody: it can be shown, something in it is a letter or digit, and no letter
/// bears so many marks that they cover what stands around.
pub fn is_name(text: &str) -> bool {
    let mut marks = 0;
    let mut before = None;
    for character in text.chars() {
        let is_mark = is_combining_mark(character);
        marks = if is_mark { marks + 1 } else { 0 };
        // A mark without its letter, or the same one upon itself, is none of a language.
        if marks > MARKS_IN_A_ROW_MAX || (is_mark && (before.is_none() || before == Some(character))) {
            return false;
        }
        before = Some(character);
    }
    is_presentable(text) && text.chars().any(|character| character.is_alphanumeric() && is_visible(character))
}

/// Returns a text as names are looked for: without marks and capitals, so that « Inès » is found as « ines ».
pub fn folded(text: &str) -> String {
    text.nfd().filter(|&character| !is_combining_mark(character)).flat_map(char::to_lowercase).collect()
}

/// Returns what a name looks like, as a number: names that people take for one another have the same (Unicode UTS #39,
/// §4), whatever their case, their spaces and what stands between their words.
pub fn look_of(name: &str) -> u64 {
    // What a letter is taken for depends on its case: a small m for an r and an n, a capital I for a small L, which
    // is why a small I, its other case, is taken for that too.
    let small = skeleton(name).collect::<String>().to_lowercase();
    let look = skeleton(&small).collect::<String>().to_lowercase().replace('i', "l");
    let is_told_apart =
        |character: char| is_visible(character) && (character.is_alphanumeric() || is_combining_mark(character));
    let look: String = look.chars().filter(|&character| is_told_apart(character)).collect();
    let mut hasher = DefaultHasher::new();
    look.hash(&mut hasher);
    hasher.finish()
}

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
    fn a_name_has_a_letter_and_few_marks() {
        let zalgo = format!("Paul{}", "\u{301}\u{302}".repeat(40));
        let cases = [
            ("Paul D.", true),
            ("7", true),
            ("Nguye\u{302}\u{303}n", true),
            ("नरेन्द्र", true),
            ("ที่รัก", true),
            ("שָׁלוֹם", true),
            ("👩 Zoé", true),
            ("李雷", true),
            (".", false),
            ("…", false),
            ("👩", false),
            ("\u{301}", false),
            ("\u{301}Paul", false),
            ("Pa\u{301}\u{301}ul", false),
            ("Pa\u{301}\u{302}\u{303}\u{304}\u{306}ul", false),
            (zalgo.as_str(), false),
            ("\u{3164}", false),
            ("Paul\u{202e}", false),
        ];
        for (text, want) in cases {
            assert_eq!(is_name(text), want, "{text:?}");
        }
    }

    #[test]
    fn names_that_look_alike() {
        let cases = [
            ("Paul D.", "Рaul D.", true),
            ("Paul D.", "paul  d.", true),
            ("Paul D.", "PAUL D.", true),
            ("Paul D.", "Ｐａｕｌ D.", true),
            ("Paul D.", "Pau\u{200b}l D.", true),
            ("Paul D.", "PauI D.", true),
            ("Zoé", "Zoe\u{301}", true),
            ("Marie D.", "marie d.", true),
            ("Alice D.", "ALICE D.", true),
            ("Émilie Simon", "ÉMILIE SIMON", true),
            ("Paul D.", "Paul D", true),
            ("Jean-Paul D.", "Jean Paul D.", true),
            ("Paul D.", "Paul D. \u{1f642}", true),
            ("Paul D.", "Paul B.", false),
            ("Zoé", "Zoe", false),
            ("Léa", "Lea", false),
        ];
        for (one, other, want) in cases {
            assert_eq!(look_of(one) == look_of(other), want, "{one} {other}");
        }
    }

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
