//! `ls`: lists what a snapshot holds.

use lifeboat_repository::tree::{Node, ZoneOffsets};
use serde::Serialize;

use super::snapshots::SnapshotJson;
use crate::app::App;
use crate::choose::Filter;
use crate::cli::inspect::LsArgs;
use crate::exit::Status;
use crate::output::node::{NodeJson, long_line};
use crate::output::text;
use crate::read::{self, Opened, Walk};
use crate::vault::Vault;

#[derive(Serialize)]
struct Head<'a> {
    message_type: &'static str,
    struct_type: &'static str,
    #[serde(flatten)]
    snapshot: SnapshotJson<'a>,
}

pub(super) fn run(app: &App, args: &LsArgs) -> anyhow::Result<Status> {
    for dir in &args.dirs {
        anyhow::ensure!(dir.starts_with('/'), "{dir} is not an absolute path");
    }
    let repository = Vault::of(app)?.open(app)?;
    let filter = Filter::from_args(app, &args.filter)?;
    app.reading(&repository, || {
        read::load_index(app, &repository)?;
        let opened = read::open(app, &repository, &args.snapshot, &filter)?;
        head(app, &opened)?;
        let zone = ZoneOffsets::new(&app.time.zone);
        let mut walk = Walk::new(&repository, opened.tree);
        let mut status = Status::Success;
        while let Some(node) = walk.next_readable(app, &mut status)? {
            let path = walk.path();
            let is_shown =
                args.dirs.is_empty() || args.dirs.iter().any(|dir| is_within(path, dir.as_bytes()));
            if is_shown {
                print(app, args, (path, &node), &zone)?;
            }
            let leads_on = args.dirs.is_empty()
                || is_shown && args.recursive
                || args.dirs.iter().any(|dir| is_within(dir.as_bytes(), path));
            if !leads_on {
                walk.skip_below();
            }
        }
        Ok(status)
    })
}

/// Whether a path is another one or lies below it.
fn is_within(path: &[u8], folder: &[u8]) -> bool {
    let folder = folder.strip_suffix(b"/").unwrap_or(folder);
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

fn head(app: &App, opened: &Opened) -> anyhow::Result<()> {
    let snapshot = &opened.snapshot;
    if app.output.is_json() {
        let snapshot = SnapshotJson::new(opened.id, snapshot);
        app.output.json(&Head { message_type: "snapshot", struct_type: "snapshot", snapshot })?;
        return Ok(());
    }
    let (id, paths) = (opened.id.short(), snapshot.paths.join(" "));
    app.output.note(format_args!("snapshot {id} of [{paths}] at {}:", app.local(snapshot.time.instant())));
    Ok(())
}

fn print(app: &App, args: &LsArgs, (path, node): (&[u8], &Node), zone: &ZoneOffsets) -> anyhow::Result<()> {
    if app.output.is_json() {
        app.output.json(&NodeJson::new(path, node, zone).into_message())?;
    } else if args.long {
        app.output.bytes_line(&long_line(path, node, &app.time.zone))?;
    } else {
        app.output.bytes_line(&text::path(path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_holds_itself_and_what_is_below() {
        assert!(is_within(b"/a/b", b"/a") && is_within(b"/a", b"/a/") && is_within(b"/a", b"/"));
        assert!(!is_within(b"/ab", b"/a") && !is_within(b"/a", b"/a/b"));
    }
}
