//! Passwords: where they come from when a vault is named. Nothing here prints or stores one.

use std::ffi::OsString;
use std::io::{self, BufRead, IsTerminal, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use lifeboat_repository::key::Password;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::env::Env;
use crate::output::text;
use crate::signals;

/// The names of the variables that give the password of a vault.
pub(crate) struct Variables {
    pub(crate) files: &'static [&'static str],
    pub(crate) values: &'static [&'static str],
    pub(crate) command: Option<&'static str>,
}

/// Ours. They hold for whatever vault is used.
pub(crate) const OURS: Variables =
    Variables { files: &["LIFEBOAT_PASSWORD_FILE"], values: &["LIFEBOAT_PASSWORD"], command: None };

/// restic's, where ours are absent.
pub(crate) const RESTICS: Variables = Variables {
    files: &["RESTIC_PASSWORD_FILE"],
    values: &["RESTIC_PASSWORD"],
    command: Some("RESTIC_PASSWORD_COMMAND"),
};

/// restic's, for the vault that `copy` reads from.
pub(crate) const RESTICS_FROM: Variables = Variables {
    files: &["RESTIC_FROM_PASSWORD_FILE"],
    values: &["RESTIC_FROM_PASSWORD"],
    command: Some("RESTIC_FROM_PASSWORD_COMMAND"),
};

/// The password that options give.
pub(crate) fn from_options(file: Option<&Path>, command: Option<&str>) -> anyhow::Result<Option<Password>> {
    match (file, command) {
        (Some(file), _) => from_file(file).map(Some),
        (None, Some(command)) => from_command(command).map(Some),
        (None, None) => Ok(None),
    }
}

/// The password that variables give.
pub(crate) fn from_variables(env: Env, variables: &Variables) -> anyhow::Result<Option<Password>> {
    if let Some(file) = variables.files.iter().find_map(|name| env.get(name)) {
        return from_file(Path::new(&file)).map(Some);
    }
    if let Some(value) = variables.values.iter().find_map(|name| env.get(name)) {
        return Ok(Some(Password::new(OsString::into_vec(value))));
    }
    let Some(command) = variables.command.and_then(|name| env.get(name)) else { return Ok(None) };
    from_command(command.to_str().context("the password command is not UTF-8")?).map(Some)
}

/// What a file holds, without the white space around it.
pub(crate) fn from_file(file: &Path) -> anyhow::Result<Password> {
    let content =
        std::fs::read(file).with_context(|| format!("cannot read the password file {}", file.display()))?;
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&content).trim_ascii();
    ensure!(!content.is_empty(), "the password file {} is empty", file.display());
    Ok(Password::new(content))
}

/// What a program prints. It is started without a shell.
fn from_command(line: &str) -> anyhow::Result<Password> {
    let words = split_words(line)?;
    let (program, arguments) = words.split_first().context("the password command is empty")?;
    let failed = || format!("the password command {program:?} failed");
    let output =
        Command::new(program).args(arguments).stderr(Stdio::inherit()).output().with_context(failed)?;
    ensure!(output.status.success(), "the password command {program:?} failed: {}", output.status);
    let password = output.stdout.trim_ascii();
    ensure!(!password.is_empty(), "the password command {program:?} printed nothing");
    Ok(Password::new(password))
}

/// Splits at white space, except within quotes; a backslash takes the meaning from what follows it.
fn split_words(line: &str) -> anyhow::Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        match (quote, char) {
            (Some(open), char) if char == open => quote = None,
            (Some('"') | None, '\\') => {
                let escaped = chars.next().context("the password command ends with a backslash")?;
                word.get_or_insert_default().push(escaped);
            }
            (None, '"' | '\'') => {
                quote = Some(char);
                word.get_or_insert_default();
            }
            (None, char) if char.is_whitespace() => words.extend(word.take()),
            (_, char) => word.get_or_insert_default().push(char),
        }
    }
    if quote.is_some() {
        bail!("a quotation mark in the password command is not closed");
    }
    words.extend(word);
    Ok(words)
}

/// Asks for the password of a vault.
pub(crate) fn ask(place: &str) -> anyhow::Result<Password> {
    ensure!(
        io::stdin().is_terminal(),
        "no password is given for {place}: use --password-file, LIFEBOAT_PASSWORD_FILE or LIFEBOAT_PASSWORD"
    );
    read_hidden(&format!("password for {}: ", text::printable(place)))
}

/// Asks for a new password, twice.
pub(crate) fn ask_new() -> anyhow::Result<Password> {
    ensure!(io::stdin().is_terminal(), "no new password is given and there is nobody to ask");
    let password = read_hidden("new password: ")?;
    let again = read_hidden("the same again: ")?;
    ensure!(password == again, "the two passwords differ");
    Ok(password)
}

/// Reads a line from the terminal without showing it.
fn read_hidden(prompt: &str) -> anyhow::Result<Password> {
    let stdin = io::stdin();
    let before = tcgetattr(&stdin).context("cannot ask for a password")?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    signals::remember_terminal(before);
    // What was typed until now is dropped: only after the prompt is anything a password.
    tcsetattr(&stdin, OptionalActions::Flush, &silent).context("cannot ask for a password")?;
    write!(io::stderr(), "{prompt}")?;
    let mut line = Vec::new();
    let read = stdin.lock().read_until(b'\n', &mut line);
    signals::restore_terminal();
    writeln!(io::stderr())?;
    read.context("cannot read the password")?;
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    ensure!(!line.is_empty(), "an empty password is no password");
    Ok(Password::new(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_without_a_shell() {
        let words = |line| split_words(line).unwrap();
        assert_eq!(words("pass show  my/vault"), ["pass", "show", "my/vault"]);
        assert_eq!(words(r#"a "b c" 'd "e' f\ g "" x$HOME;y"#), ["a", "b c", "d \"e", "f g", "", "x$HOME;y"]);
        assert_eq!(words(r#""a\"b" 'c\d'"#), ["a\"b", r"c\d"]);
        assert!(split_words("a 'b").is_err() && split_words("a\\").is_err());
    }

    #[test]
    fn a_password_file_is_read_without_the_line_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "\u{feff}se cret\r\n").unwrap();
        assert!(from_file(file.path()).unwrap() == Password::new("se cret"));
        std::fs::write(file.path(), "\n").unwrap();
        assert!(from_file(file.path()).is_err());
    }
}
