//! Progress as it is drawn on a terminal: all that people want to know, in two rows, and gone at the end.

use std::fs::{self, File};

use lifeboat_testkit::random::Random;

use crate::pty::{Screen, Terminal};
use crate::shared_vault::SharedVault;

/// KiB a second: what `fill` makes takes some seconds.
const SLOW: &str = "4000";

fn fill(vault: &SharedVault) {
    let mut random = Random::new(1);
    for name in ["one", "two", "three"] {
        fs::write(vault.source().join(name), random.bytes(3 << 20)).unwrap();
    }
}

/// The rows of what is drawn, from the one that tells how far it is; none when nothing is.
fn bar(screen: &Screen) -> Vec<String> {
    let rows = screen.rows();
    let first = rows.iter().position(|row| row.contains("%, ") && row.contains(" left"));
    first.map_or(Vec::new(), |first| rows[first..].to_vec())
}

/// Waits for all that belongs to a bar, for its next redraw, and for the end.
fn watch(terminal: &mut Terminal, phase: &str) {
    terminal.until("a bar with all that belongs to it", |screen| {
        let bar = bar(screen);
        let tells = |word: &&str| bar.first().is_some_and(|row| row.contains(word));
        ["[##", phase, "/3 files", "iB/s", " left"].iter().all(tells) && bar[1..] != [""]
    });
    let first = bar(&terminal.screen);
    assert!(first.len() == 2 && first[1].contains("source/"), "{first:?}");
    terminal.until("the next redraw", |screen| bar(screen).first() != first.first());
    let next = bar(&terminal.screen);
    assert!(next.len() == 2 || next.is_empty(), "it is not drawn in place: {next:?}");
    terminal.ends_with(0);
    assert_eq!(bar(&terminal.screen), [""; 0], "{}", terminal.screen.text());
}

#[test]
fn backup_and_restore_draw_a_bar_that_is_gone_at_the_end() {
    let vault = SharedVault::new();
    fill(&vault);
    let source = vault.sandbox.arg("source");
    let backup = vault.command(&["backup", "--pack-size", "4", "--limit-upload", SLOW, &source]);
    let mut terminal = Terminal::start(&backup, 120);
    watch(&mut terminal, "backup:");
    let rows = terminal.screen.rows();
    assert!(rows[0].starts_with("files:   3 new") && rows[4].starts_with("snapshot "), "{rows:?}");
    let target = vault.sandbox.arg("target");
    let restore = vault.command(&["restore", "latest", "--limit-download", SLOW, "--target", &target]);
    let mut terminal = Terminal::start(&restore, 120);
    watch(&mut terminal, "restore:");
    let rows = terminal.screen.rows();
    assert!(rows[0].starts_with("restoring snapshot ") && rows[1].starts_with("3 files and "), "{rows:?}");
}

#[test]
fn what_is_told_of_items_stands_above_the_bar() {
    let vault = SharedVault::new();
    fill(&vault);
    let source = vault.sandbox.arg("source");
    let options = ["backup", "-v", "--pack-size", "4", "--limit-upload", SLOW, &source];
    let mut terminal = Terminal::start(&vault.command(&options), 120);
    terminal.until("a bar below the items", |screen| {
        screen.rows()[0].starts_with("there is no snapshot") && !bar(screen).is_empty()
    });
    terminal.ends_with(0);
    let rows = terminal.screen.rows();
    for name in ["one", "two", "three"] {
        let line = format!("new       {source}/{name}, 3.000 MiB added");
        assert_eq!(rows.iter().filter(|row| **row == line).count(), 1, "{rows:?}");
    }
    assert!(rows.iter().all(|row| !row.contains("%")), "{rows:?}");
}

/// The screen fails this test by itself should a control character reach it.
#[test]
fn on_a_narrow_terminal_nothing_wraps_and_no_name_commands_it() {
    let vault = SharedVault::new();
    let name = "evil\u{1b}[2J\u{7}\u{9b}31m\nname";
    File::create(vault.source().join(name)).unwrap().set_len(1 << 43).unwrap();
    let mut terminal = Terminal::start(&vault.command(&["backup", "source"]), 40);
    terminal.until("the name", |screen| {
        let bar = bar(screen);
        bar.len() > 1 && bar[1].starts_with("source/evil\\x1b[2J\\x07\\x9b31m\\x0an")
    });
    assert_eq!(bar(&terminal.screen).len(), 2, "{}", terminal.screen.text());
    terminal.press("\u{3}");
    terminal.ends_with(130);
    let text = terminal.screen.rows().concat();
    assert!(
        text.starts_with("warning: interrupted after ") && text.contains("no snapshot was made"),
        "{text}"
    );
    assert_eq!(bar(&terminal.screen), [""; 0], "{}", terminal.screen.text());
    // Names are shown as harmlessly where they are listed.
    fs::remove_file(vault.source().join(name)).unwrap();
    fs::write(vault.source().join(name), "content").unwrap();
    let steps: [&[&str]; 4] =
        [&["backup", "-vv", "source"], &["snapshots"], &["ls", "latest"], &["find", "evil*"]];
    for arguments in steps {
        Terminal::start(&vault.command(arguments), 200).ends_with(0);
    }
    let unreadable = vault.source().join("locked\u{1b}[2J");
    fs::write(&unreadable, "").unwrap();
    fs::set_permissions(&unreadable, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    let mut terminal = Terminal::start(&vault.command_of_nobody(&["backup", "source"]), 200);
    terminal.ends_with(3);
    assert!(terminal.screen.text().contains("error: cannot open source/locked\\x1b[2J"));
}
