//! Patterns of policy documents: `*` stands for any text, `?` for one character, everything else for itself.

/// How letters are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Sensitive,
    Ignored,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    characters: Vec<char>,
    case: Case,
}

impl Pattern {
    pub(super) fn new(text: &str, case: Case) -> Self {
        Self { characters: text.chars().map(|c| fold(c, case)).collect(), case }
    }

    /// Takes time in proportion to pattern times text at most.
    pub(super) fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().map(|c| fold(c, self.case)).collect();
        let (mut at, mut from) = (0, 0);
        // Behind the last `*`, and where the text it stands for ends.
        let mut retry: Option<(usize, usize)> = None;
        while let Some(c) = text.get(at) {
            match self.characters.get(from) {
                Some('*') => {
                    from += 1;
                    retry = Some((from, at));
                }
                Some(p) if *p == '?' || p == c => {
                    from += 1;
                    at += 1;
                }
                _ => {
                    let Some((behind, ends)) = retry else { return false };
                    retry = Some((behind, ends + 1));
                    (from, at) = (behind, ends + 1);
                }
            }
        }
        self.characters.iter().skip(from).all(|c| *c == '*')
    }
}

fn fold(c: char, case: Case) -> char {
    if case == Case::Ignored { c.to_ascii_lowercase() } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_what_they_should() {
        for (pattern, text, is_match) in [
            ("*", "", true),
            ("*", "anything: at all", true),
            ("", "", true),
            ("", "a", false),
            ("hbr:Describe*", "hbr:DescribeVaults", true),
            ("hbr:describe*", "hbr:DescribeVaults", true),
            ("hbr:Describe*", "hbr:CreateVault", false),
            ("hbr:*Vault", "hbr:CreateVault", true),
            ("hbr:*Vault", "hbr:CreateVaults", false),
            ("hbr:???ateVault", "hbr:CreateVault", true),
            ("hbr:?CreateVault", "hbr:CreateVault", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "abab", true),
            ("*a*b", "aba", false),
            ("a**b", "ab", true),
            ("h", "hbr", false),
        ] {
            assert_eq!(Pattern::new(pattern, Case::Ignored).matches(text), is_match, "{pattern} {text}");
        }
        assert!(!Pattern::new("vault/V", Case::Sensitive).matches("vault/v"));
    }

    #[test]
    fn a_pattern_of_many_stars_takes_no_time_to_speak_of() {
        let pattern = Pattern::new(&"*a".repeat(1000), Case::Sensitive);
        assert!(!pattern.matches(&"a".repeat(999)));
        assert!(!Pattern::new(&format!("{}b", "*a".repeat(500)), Case::Sensitive).matches(&"a".repeat(2000)));
    }
}
