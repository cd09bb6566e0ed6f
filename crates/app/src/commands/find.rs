//! `find`: looks for names, or for blobs, in many snapshots. Matches are printed as they are found.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use anyhow::ensure;
use jiff::Timestamp;
use lifeboat_repository::blob::{BlobKind, BlobRef};
use lifeboat_repository::id::BlobId;
use lifeboat_repository::pattern::{Case, PatternList};
use lifeboat_repository::repository::Repository;
use lifeboat_repository::retention::{GroupBy, Policy};
use lifeboat_repository::tree::{Node, NodeTime, ZoneOffsets};
use serde::Serialize;

use crate::app::App;
use crate::choose::{self, Filter, Keying};
use crate::cli::inspect::FindArgs;
use crate::exit::Status;
use crate::output::node::{NodeJson, long_line};
use crate::output::text;
use crate::read::{self, Opened, Walk};
use crate::vault::Vault;

pub(super) fn run(app: &App, args: &FindArgs) -> anyhow::Result<Status> {
    let repository = Vault::of(app)?.open(app)?;
    let filter = Filter::from_args(app, &args.filter)?;
    app.reading(&repository, || {
        read::load_index(app, &repository)?;
        let keying = Keying { filter: &filter, by: GroupBy::default(), policy: &Policy::default() };
        let mut chosen = choose::named_or_all(app, &repository, &args.snapshot, &keying)?;
        chosen.keys.sort_unstable_by_key(|key| (std::cmp::Reverse(key.time), key.id));
        let mut search = Search {
            app,
            args,
            repository: &repository,
            wanted: Wanted::new(app, args, &repository)?,
            zone: ZoneOffsets::new(&app.time.zone),
            known: HashSet::new(),
            status: chosen.status(),
            printed: 0,
        };
        if app.output.is_json() {
            app.output.bytes(b"[")?;
        }
        for key in &chosen.keys {
            let snapshot = repository.load_snapshot(key.id)?;
            let tree = snapshot.tree;
            search.snapshot(&Opened { id: key.id, snapshot, tree })?;
        }
        if app.output.is_json() {
            app.output.bytes(b"]\n")?;
        }
        Ok(search.status)
    })
}

/// What is looked for.
enum Wanted {
    Names {
        patterns: PatternList,
        oldest: Option<Timestamp>,
        newest: Option<Timestamp>,
    },
    /// Beginnings of ids of blobs of one kind.
    Blobs {
        kind: BlobKind,
        prefixes: Vec<String>,
    },
    /// The blobs of some packs.
    Packed(HashSet<BlobRef>),
}

impl Wanted {
    fn new(app: &App, args: &FindArgs, repository: &Repository) -> anyhow::Result<Self> {
        let prefixes = || -> anyhow::Result<Vec<String>> {
            for id in &args.patterns {
                ensure!(
                    id.bytes().all(|byte| byte.is_ascii_hexdigit()),
                    "{id:?} is not the beginning of an id"
                );
            }
            Ok(args.patterns.iter().map(|id| id.to_ascii_lowercase()).collect())
        };
        if args.blob || args.tree {
            let kind = if args.blob { BlobKind::Data } else { BlobKind::Tree };
            return Ok(Self::Blobs { kind, prefixes: prefixes()? });
        }
        if args.pack {
            return Ok(Self::Packed(blobs_of_packs(repository, &prefixes()?)));
        }
        let case = if args.ignore_case { Case::Insensitive } else { Case::Sensitive };
        let moment = |moment: Option<crate::cli::values::Moment>| {
            moment.map(|moment| moment.at(&app.time.zone)).transpose()
        };
        let patterns = PatternList::parse(&args.patterns, case)?;
        Ok(Self::Names { patterns, oldest: moment(args.oldest)?, newest: moment(args.newest)? })
    }

    fn has_blob(&self, blob: BlobRef) -> bool {
        match self {
            Self::Names { .. } => false,
            Self::Blobs { kind, prefixes } => {
                *kind == blob.kind && prefixes.iter().any(|prefix| blob.id.to_string().starts_with(prefix))
            }
            Self::Packed(blobs) => blobs.contains(&blob),
        }
    }
}

fn blobs_of_packs(repository: &Repository, prefixes: &[String]) -> HashSet<BlobRef> {
    let index = repository.index();
    let packs = index.packs().filter(|pack| {
        let id = pack.to_string();
        prefixes.iter().any(|prefix| id.starts_with(prefix))
    });
    let numbers: Vec<u32> = packs.filter_map(|pack| index.pack_number(pack)).collect();
    numbers.into_iter().flat_map(|number| index.entries_of_pack(number)).map(|entry| entry.blob).collect()
}

#[derive(Serialize)]
struct BlobJson {
    object_type: &'static str,
    id: BlobId,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_tree: Option<BlobId>,
    snapshot: String,
    time: String,
}

struct Search<'a> {
    app: &'a App,
    args: &'a FindArgs,
    repository: &'a Repository,
    wanted: Wanted,
    zone: ZoneOffsets,
    /// Folders in which nothing was found, by tree and path: other snapshots hold them unchanged.
    known: HashSet<(u64, u64)>,
    status: Status,
    /// Objects in the JSON array so far.
    printed: u64,
}

impl Search<'_> {
    fn snapshot(&mut self, opened: &Opened) -> anyhow::Result<()> {
        let mut hits = 0_u64;
        self.blob(opened, read::tree_blob(opened.tree), b"/", None)?;
        let mut walk = Walk::new(self.repository, opened.tree);
        // Folders entered and not left yet: how deep, as what they are known, and how much had been found or lost
        // when they were entered.
        let mut open: Vec<(usize, (u64, u64), u64)> = Vec::new();
        while let Some(node) = walk.next_readable(self.app, &mut self.status)? {
            self.leave(&mut open, walk.depth(), hits + walk.lost());
            hits += self.entry(opened, &walk, &node, hits)?;
            if let Some(tree) = read::subtree(&node) {
                let known = identity(tree, walk.path());
                if self.known.contains(&known) || !self.may_find_below(walk.path()) {
                    walk.skip_below();
                } else {
                    open.push((walk.depth(), known, hits + walk.lost()));
                }
            }
        }
        self.leave(&mut open, 0, hits + walk.lost());
        if self.app.output.is_json() && hits > 0 && matches!(self.wanted, Wanted::Names { .. }) {
            let end = format!("],\"hits\":{hits},\"snapshot\":\"{}\"}}", opened.id);
            self.app.output.bytes(end.as_bytes())?;
        }
        Ok(())
    }

    /// Folders at this depth or deeper are over; those in which nothing was found or lost are remembered.
    fn leave(&mut self, open: &mut Vec<(usize, (u64, u64), u64)>, depth: usize, now: u64) {
        while let Some((_, known, before)) = open.pop_if(|(at, ..)| *at >= depth) {
            if now == before {
                self.known.insert(known);
            }
        }
    }

    fn may_find_below(&self, path: &[u8]) -> bool {
        match &self.wanted {
            Wanted::Names { patterns, .. } => patterns.may_match_below(path),
            Wanted::Blobs { .. } | Wanted::Packed(_) => true,
        }
    }

    /// Looks at one entry; returns how often it was found.
    fn entry(&mut self, opened: &Opened, walk: &Walk<'_>, node: &Node, hits: u64) -> anyhow::Result<u64> {
        let path = walk.path();
        if let Wanted::Names { patterns, oldest, newest } = &self.wanted {
            let is_in_time = oldest.is_none_or(|oldest| node.mtime >= node_time(oldest))
                && newest.is_none_or(|newest| node.mtime <= node_time(newest));
            if !is_in_time || !patterns.matches(path) {
                return Ok(0);
            }
            self.print_name(opened, path, node, hits == 0)?;
            return Ok(1);
        }
        let mut found = 0;
        if let Some(tree) = read::subtree(node) {
            found += self.blob(opened, read::tree_blob(tree), path, walk.parent())?;
        }
        for id in node.content.iter().flatten() {
            found += self.blob(opened, read::data_blob(*id), path, walk.parent())?;
        }
        Ok(found)
    }

    fn print_name(
        &mut self,
        opened: &Opened,
        path: &[u8],
        node: &Node,
        is_first: bool,
    ) -> anyhow::Result<()> {
        let output = &self.app.output;
        if output.is_json() {
            let start = match (is_first, self.printed) {
                (true, 0) => "{\"matches\":[",
                (true, _) => ",{\"matches\":[",
                (false, _) => ",",
            };
            self.printed += 1;
            let json = serde_json::to_string(&NodeJson::new(path, node, &self.zone))?;
            return Ok(output.bytes(format!("{start}{json}").as_bytes())?);
        }
        if is_first {
            let time = self.app.local(opened.snapshot.time.instant());
            output.line(format_args!("in snapshot {} of {time}:", opened.id.short()))?;
        }
        if self.args.long {
            output.bytes_line(&long_line(path, node, &self.app.time.zone))?;
        } else {
            output.bytes_line(&text::path(path))?;
        }
        Ok(())
    }

    /// Prints where a blob is used, if it is looked for.
    fn blob(
        &mut self,
        opened: &Opened,
        blob: BlobRef,
        path: &[u8],
        parent: Option<BlobId>,
    ) -> anyhow::Result<u64> {
        if !self.wanted.has_blob(blob) {
            return Ok(0);
        }
        let is_data = blob.kind == BlobKind::Data;
        let output = &self.app.output;
        if output.is_json() {
            let json = BlobJson {
                object_type: if is_data { "blob" } else { "tree" },
                id: blob.id,
                path: String::from_utf8_lossy(path).into_owned(),
                parent_tree: parent.filter(|_| is_data),
                snapshot: opened.id.to_string(),
                time: opened.snapshot.time.to_string(),
            };
            let comma = if self.printed == 0 { "" } else { "," };
            self.printed += 1;
            output.bytes(format!("{comma}{}", serde_json::to_string(&json)?).as_bytes())?;
        } else {
            output.line(format_args!("found the {blob}"))?;
            output.bytes_line(
                &[if is_data { b"  in file " } else { b"  as tree " }, &*text::path(path)].concat(),
            )?;
            let time = self.app.local(opened.snapshot.time.instant());
            output.line(format_args!("  in snapshot {} of {time}", opened.id.short()))?;
        }
        Ok(1)
    }
}

fn identity(tree: BlobId, path: &[u8]) -> (u64, u64) {
    let [a, b, c, d, e, f, g, h, ..] = *tree.as_bytes();
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    (u64::from_le_bytes([a, b, c, d, e, f, g, h]), hasher.finish())
}

fn node_time(time: Timestamp) -> NodeTime {
    let nanoseconds = time.subsec_nanosecond().rem_euclid(1_000_000_000).unsigned_abs();
    let seconds = time.as_second() - i64::from(time.subsec_nanosecond() < 0);
    NodeTime { seconds, nanoseconds }
}
