//! Passwords asked for at a terminal: never shown, asked for again when mistyped, and Ctrl-C leaves all as it was.

use crate::pty::Terminal;
use crate::sandbox::Sandbox;

/// A vault with the password `right`.
fn vault(sandbox: &Sandbox) -> String {
    let place = sandbox.arg("vault");
    sandbox.run_with(&[("LIFEBOAT_PASSWORD", "right")], &["init", "-r", &place]).ok();
    place
}

/// Waits for the prompt, with everything typed before it answered.
fn answer(terminal: &mut Terminal, prompt: &str, count: usize, password: &str) {
    terminal.until(prompt, |screen| screen.text().matches(prompt).count() == count);
    assert!(!terminal.echoes(), "what is typed after {prompt:?} can be seen");
    terminal.press(&format!("{password}\n"));
}

fn assert_hidden(terminal: &Terminal, secrets: &[&str]) {
    let came = String::from_utf8_lossy(&terminal.came);
    assert!(!secrets.iter().any(|secret| came.contains(secret)), "{came}");
    assert!(terminal.echoes(), "the terminal stays mute");
}

#[test]
fn a_mistyped_password_is_asked_for_again() {
    let sandbox = Sandbox::new();
    let vault = vault(&sandbox);
    let mut terminal = Terminal::start(&sandbox.command(&["-r", &vault, "key", "list"]), 80);
    answer(&mut terminal, "password for", 1, "mistyped");
    terminal.until_text("wrong password, try again");
    answer(&mut terminal, "password for", 2, "right");
    terminal.ends_with(0);
    assert!(terminal.screen.text().contains("Created"), "{}", terminal.screen.text());
    assert_hidden(&terminal, &["mistyped", "right"]);
}

#[test]
fn three_wrong_passwords_are_exit_12() {
    let sandbox = Sandbox::new();
    let vault = vault(&sandbox);
    let mut terminal = Terminal::start(&sandbox.command(&["-r", &vault, "snapshots"]), 80);
    for count in 1..=3 {
        answer(&mut terminal, "password for", count, "mistyped");
    }
    terminal.ends_with(12);
    assert_hidden(&terminal, &["mistyped"]);
}

#[test]
fn a_password_that_was_given_is_not_asked_for() {
    let sandbox = Sandbox::new();
    let vault = vault(&sandbox);
    let mut command = sandbox.command(&["-r", &vault, "snapshots"]);
    let mut terminal = Terminal::start(command.env("LIFEBOAT_PASSWORD", "mistyped"), 80);
    terminal.ends_with(12);
    assert!(!terminal.screen.text().contains("password for"), "{}", terminal.screen.text());
}

#[test]
fn a_new_password_is_asked_for_twice() {
    let sandbox = Sandbox::new();
    let vault = sandbox.arg("vault");
    let mut terminal = Terminal::start(&sandbox.command(&["init", "-r", &vault]), 80);
    answer(&mut terminal, "new password:", 1, "chosen");
    answer(&mut terminal, "the same again:", 1, "chosen");
    terminal.until_text("made vault");
    terminal.ends_with(0);
    assert_hidden(&terminal, &["chosen"]);
    sandbox.run_with(&[("LIFEBOAT_PASSWORD", "chosen")], &["-r", &vault, "snapshots"]).ok();
}

#[test]
fn a_new_password_that_differs_the_second_time_makes_no_vault() {
    let sandbox = Sandbox::new();
    let vault = sandbox.arg("vault");
    for (again, complaint) in [("mistyped", "the two passwords differ"), ("", "an empty password")] {
        let mut terminal = Terminal::start(&sandbox.command(&["init", "-r", &vault]), 80);
        answer(&mut terminal, "new password:", 1, "chosen");
        answer(&mut terminal, "the same again:", 1, again);
        terminal.until_text(complaint);
        terminal.ends_with(1);
        assert_hidden(&terminal, &["chosen", "mistyped"]);
        assert!(!sandbox.path("vault").exists());
    }
}

#[test]
fn ctrl_c_at_the_prompt_is_exit_130_and_the_terminal_shows_again_what_is_typed() {
    let sandbox = Sandbox::new();
    let vault = vault(&sandbox);
    for arguments in [["-r", &vault, "snapshots"], ["init", "-r", &sandbox.arg("other")]] {
        let mut terminal = Terminal::start(&sandbox.command(&arguments), 80);
        terminal.until("the prompt", |screen| screen.text().contains("password"));
        assert!(!terminal.echoes());
        terminal.press("half of it");
        terminal.press("\x03");
        terminal.ends_with(130);
        assert_hidden(&terminal, &["half"]);
        assert!(terminal.came.ends_with(b"\r\n"), "the shell's prompt would stand behind ours");
    }
    assert!(!sandbox.path("other").exists());
}
