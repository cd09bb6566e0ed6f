//! Which paths a backup or a restore takes: patterns from options and files.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use lifeboat_adapters::files::Select;
use lifeboat_repository::pattern::{Case, PatternList, Verdict, patterns_in};

use crate::cli::patterns::{ExcludeArgs, IncludeArgs};
use crate::env::Env;

/// Patterns to leave out, and patterns to keep to. Each kind of case has a list of its own, as in restic, so a
/// `!` takes back only what patterns of its own list chose.
#[derive(Clone, Debug, Default)]
pub(crate) struct PathRules {
    excludes: Vec<PatternList>,
    /// Empty: everything.
    includes: Vec<PatternList>,
}

impl PathRules {
    pub(crate) fn new(env: Env, exclude: &ExcludeArgs, include: &IncludeArgs) -> anyhow::Result<Self> {
        let mut rules = Self::default();
        let excludes = [
            ("--exclude", &exclude.exclude, &exclude.exclude_file, Case::Sensitive),
            ("--iexclude", &exclude.iexclude, &exclude.iexclude_file, Case::Insensitive),
        ];
        for (option, patterns, files, case) in excludes {
            rules.excludes.extend(list(env, option, (patterns, files), case)?);
        }
        let includes = [
            ("--include", &include.include, &include.include_file, Case::Sensitive),
            ("--iinclude", &include.iinclude, &include.iinclude_file, Case::Insensitive),
        ];
        for (option, patterns, files, case) in includes {
            rules.includes.extend(list(env, option, (patterns, files), case)?);
        }
        Ok(rules)
    }

    /// True when there is no rule.
    pub(crate) fn takes_all(&self) -> bool {
        self.excludes.is_empty() && self.includes.is_empty()
    }

    /// Whether a path is taken, and whether something below it may be.
    pub(crate) fn judge(&self, path: &[u8]) -> Verdict {
        if self.excludes.iter().any(|list| list.matches(path)) {
            return Verdict { matches: false, may_match_below: false };
        }
        if self.includes.is_empty() {
            return Verdict { matches: true, may_match_below: true };
        }
        let verdicts = self.includes.iter().map(|list| list.judge(path));
        verdicts.fold(Verdict { matches: false, may_match_below: false }, |all, one| Verdict {
            matches: all.matches || one.matches,
            may_match_below: all.may_match_below || one.may_match_below,
        })
    }
}

/// For a backup, a folder on the way to what an include may match is taken, too.
impl Select for PathRules {
    fn includes(&self, path: &Path, is_dir: bool) -> bool {
        let verdict = self.judge(path.as_os_str().as_bytes());
        verdict.matches || is_dir && verdict.may_match_below
    }
}

fn list(
    env: Env,
    option: &str,
    (patterns, files): (&[String], &[PathBuf]),
    case: Case,
) -> anyhow::Result<Option<PatternList>> {
    let mut lines: Vec<Vec<u8>> = patterns.iter().map(|pattern| pattern.clone().into_bytes()).collect();
    for file in files {
        let content =
            std::fs::read(file).with_context(|| format!("cannot read patterns from {}", file.display()))?;
        lines.extend(patterns_in(&content, &|name| env.bytes(name)));
    }
    let list = PatternList::parse(lines, case).with_context(|| format!("{option} cannot be used"))?;
    Ok(Some(list).filter(|list| !list.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(exclude: &[&str], include: &[&str]) -> PathRules {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let exclude = ExcludeArgs { exclude: words(exclude), ..ExcludeArgs::default() };
        let include = IncludeArgs { include: words(include), ..IncludeArgs::default() };
        PathRules::new(Env, &exclude, &include).unwrap()
    }

    #[test]
    fn an_include_narrows_to_what_matches_and_the_folders_above_it() {
        let rules = rules(&[], &["/home/ada/*.jpg"]);
        assert!(rules.includes(Path::new("/home"), true));
        assert!(rules.includes(Path::new("/home/ada/x.jpg"), false));
        assert!(!rules.includes(Path::new("/home/ada/x.png"), false));
        assert!(!rules.includes(Path::new("/etc"), true));
        assert!(!rules.includes(Path::new("/home"), false));
    }

    #[test]
    fn an_exclude_wins_over_an_include() {
        let rules = rules(&["*.tmp"], &["/a"]);
        assert!(rules.includes(Path::new("/a/b"), false));
        assert!(!rules.includes(Path::new("/a/b.tmp"), false));
    }

    #[test]
    fn patterns_from_files_are_added_to_those_given() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "# none\n*.o\n!keep.o\n").unwrap();
        let exclude = ExcludeArgs {
            exclude: vec!["a".into()],
            exclude_file: vec![file.path().into()],
            ..ExcludeArgs::default()
        };
        let rules = PathRules::new(Env, &exclude, &IncludeArgs::default()).unwrap();
        assert!(!rules.includes(Path::new("/x.o"), false) && !rules.includes(Path::new("/a"), false));
        assert!(rules.includes(Path::new("/keep.o"), false));
    }
}
