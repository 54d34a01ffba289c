//! Text that a gateway wrote. It is less trusted than the node: it must not play with a terminal, nor fill it.

/// Most characters of a name.
const NAME: usize = 100;
/// Most characters of a sentence.
const SENTENCE: usize = 300;

/// A name as it may be shown.
pub fn name(text: &str) -> String {
    cut(text, NAME)
}

/// A sentence as it may be shown.
pub fn sentence(text: &str) -> String {
    cut(text, SENTENCE)
}

fn cut(text: &str, most: usize) -> String {
    text.chars().filter(|c| !c.is_control() && !invisible(*c)).take(most).collect()
}

/// Characters without a form of their own: those that turn the direction of text (Unicode Standard Annex 9), joiners,
/// variants and tags.
fn invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180b}'..='\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_what_is_seen() {
        assert_eq!(name("\u{1b}[2Jte\u{202e}am\u{7f}\n"), "[2Jteam");
        assert_eq!(name("Büro Süd"), "Büro Süd");
        assert_eq!(name(&"x".repeat(5000)).len(), 100);
        assert_eq!(sentence(&"x".repeat(5000)).len(), 300);
    }
}
