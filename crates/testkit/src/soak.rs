//! How often a random test repeats: a few times in the suite, thousands of times in a long run by hand.
//!
//! `LIFEBOAT_SOAK=trees=2000,kills=1000` (what `bench/soak` sets) raises the counts it names; every other test keeps
//! its own. A test that reads a count stands in a module of the count's name, which is how `bench/soak` finds it.

/// How many rounds the test called `name` makes: `default`, or what `LIFEBOAT_SOAK` says.
///
/// # Panics
/// If `LIFEBOAT_SOAK` cannot be understood: a long run must not silently be a short one.
#[must_use]
pub fn count(default: usize, name: &str) -> usize {
    #[expect(clippy::disallowed_methods, reason = "the one place where tests learn how long to run")]
    let wishes = std::env::var("LIFEBOAT_SOAK").unwrap_or_default();
    wished(&wishes, name).unwrap_or(default)
}

fn wished(wishes: &str, name: &str) -> Option<usize> {
    let rounds = wishes.split(',').filter(|wish| !wish.is_empty()).map(parse);
    rounds.filter(|(known, _)| *known == name).map(|(_, rounds)| rounds).max()
}

fn parse(wish: &str) -> (&str, usize) {
    wish.split_once('=')
        .and_then(|(name, rounds)| Some((name, rounds.parse().ok().filter(|rounds| *rounds > 0)?)))
        .unwrap_or_else(|| panic!("LIFEBOAT_SOAK holds pairs like trees=2000, not {wish:?}"))
}

#[cfg(test)]
mod tests {
    use super::wished;

    #[test]
    fn only_the_named_test_runs_longer() {
        assert_eq!(wished("trees=2000,kills=9", "trees"), Some(2000));
        assert_eq!(wished("trees=2000,kills=9", "kills"), Some(9));
        assert_eq!(wished("trees=2000", "kills"), None);
        assert_eq!(wished("", "trees"), None);
    }

    #[test]
    #[should_panic(expected = "not \"trees\"")]
    fn a_wish_without_a_number_is_refused() {
        wished("trees", "trees");
    }

    #[test]
    #[should_panic(expected = "not \"trees=0\"")]
    fn a_run_of_no_rounds_is_refused() {
        wished("kills=1,trees=0", "trees");
    }
}
