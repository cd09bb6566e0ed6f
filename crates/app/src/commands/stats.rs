//! `stats`: counts what is in snapshots, in one of four ways.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use lifeboat_repository::blob::BlobRef;
use lifeboat_repository::crypto::OVERHEAD_BYTES;
use lifeboat_repository::id::{BlobId, Id};
use lifeboat_repository::index::BlobSet;
use lifeboat_repository::repository::Repository;
use lifeboat_repository::retention::{GroupBy, Policy};
use lifeboat_repository::tree::{Node, NodeKind};
use serde::Serialize;

use crate::app::App;
use crate::choose::{self, Filter, Keying};
use crate::cli::inspect::{StatsArgs, StatsMode};
use crate::exit::Status;
use crate::output::text;
use crate::read::{self, Walk};
use crate::vault::Vault;

/// What was counted, with restic's names.
#[derive(Debug, Default, Serialize)]
struct Totals {
    total_size: u64,
    #[serde(skip_serializing_if = "is_zero")]
    total_uncompressed_size: u64,
    #[serde(flatten)]
    compression: Option<Compression>,
    total_file_count: u64,
    #[serde(skip_serializing_if = "is_zero")]
    total_blob_count: u64,
    snapshots_count: u64,
}

/// What compression does: how many times smaller it makes what is compressed, how much of all is compressed, and how
/// much smaller all is; the latter two in percent.
#[derive(Debug, Serialize)]
struct Compression {
    compression_ratio: f64,
    compression_progress: f64,
    compression_space_saving: f64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

pub(super) fn run(app: &App, args: &StatsArgs) -> anyhow::Result<Status> {
    let repository = Vault::of(app)?.open(app)?;
    let filter = Filter::from_args(app, &args.filter)?;
    app.reading(&repository, || {
        read::load_index(app, &repository)?;
        let keying = Keying { filter: &filter, by: GroupBy::default(), policy: &Policy::default() };
        let chosen = choose::named_or_all(app, &repository, &args.snapshots, &keying)?;
        let mut count = Count {
            app,
            repository: &repository,
            mode: args.mode,
            totals: Totals::default(),
            blobs: BlobSet::new(),
            compressed: (0, 0),
            contents: HashSet::new(),
            inodes: HashSet::new(),
            files: HashSet::new(),
            references: HashSet::new(),
            status: chosen.status(),
        };
        for key in &chosen.keys {
            count.snapshot(repository.load_snapshot(key.id)?.tree)?;
        }
        count.print()
    })
}

struct Count<'a> {
    app: &'a App,
    repository: &'a Repository,
    mode: StatsMode,
    totals: Totals,
    /// Blobs counted so far.
    blobs: BlobSet,
    /// Bytes of those of them that are compressed: as they would be without it, and as they are.
    compressed: (u64, u64),
    /// Digests of the contents counted so far.
    contents: HashSet<Id>,
    /// Files of the running snapshot that have several names.
    inodes: HashSet<(u64, u64)>,
    /// Hashes of the paths counted so far, and the blobs counted for each.
    files: HashSet<u64>,
    references: HashSet<(u64, u32)>,
    status: Status,
}

/// One id for all files of one content.
fn content_id(node: &Node) -> Id {
    let blobs: Vec<u8> = node.content.iter().flatten().flat_map(|id| *id.as_bytes()).collect();
    Id::of(&blobs)
}

impl Count<'_> {
    fn snapshot(&mut self, tree: BlobId) -> anyhow::Result<()> {
        self.totals.snapshots_count += 1;
        self.inodes.clear();
        if self.mode == StatsMode::RawData && !self.add_blob(read::tree_blob(tree)) {
            return Ok(());
        }
        let mut walk = Walk::new(self.repository, tree);
        while let Some(node) = walk.next_readable(self.app, &mut self.status)? {
            match self.mode {
                StatsMode::RawData => self.raw(&mut walk, &node),
                StatsMode::RestoreSize => self.restored(&node),
                StatsMode::FilesByContents => self.by_content(&node),
                StatsMode::BlobsPerFile => self.per_file(walk.path(), &node),
            }
        }
        Ok(())
    }

    fn raw(&mut self, walk: &mut Walk<'_>, node: &Node) {
        for id in node.content.iter().flatten() {
            self.add_blob(read::data_blob(*id));
        }
        // A tree counted before has nothing new below it.
        if read::subtree(node).is_some_and(|tree| !self.add_blob(read::tree_blob(tree))) {
            walk.skip_below();
        }
    }

    /// Counts the stored size of a blob; false when it was counted before.
    fn add_blob(&mut self, blob: BlobRef) -> bool {
        let Some(entry) = self.repository.index().find(blob) else { return true };
        if !self.blobs.insert(entry.ordinal) {
            return false;
        }
        self.totals.total_blob_count += 1;
        self.totals.total_size += u64::from(entry.location.length);
        let uncompressed_size = entry.location.plain_length() + OVERHEAD_BYTES as u64;
        self.totals.total_uncompressed_size += uncompressed_size;
        if entry.location.uncompressed_length.is_some() {
            self.compressed.0 += uncompressed_size;
            self.compressed.1 += u64::from(entry.location.length);
        }
        true
    }

    /// Every name counts, but several names of one file take its size once.
    fn restored(&mut self, node: &Node) {
        self.totals.total_file_count += 1;
        let is_again = node.links > 1
            && node.kind == NodeKind::File
            && !self.inodes.insert((node.device_id, node.inode));
        if !is_again {
            self.totals.total_size += node.size;
        }
    }

    fn by_content(&mut self, node: &Node) {
        if node.kind != NodeKind::File {
            return;
        }
        if self.contents.insert(content_id(node)) {
            self.totals.total_file_count += 1;
            self.totals.total_size += node.size;
        }
    }

    /// Counts each blob of a file (by its path) once, over all contents the file has had.
    fn per_file(&mut self, path: &[u8], node: &Node) {
        if node.kind != NodeKind::File || !self.contents.insert(content_id(node)) {
            return;
        }
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        let file = hasher.finish();
        for id in node.content.iter().flatten() {
            self.totals.total_file_count += u64::from(self.files.insert(file));
            let Some(entry) = self.repository.index().find(read::data_blob(*id)) else { continue };
            if self.references.insert((file, entry.ordinal)) {
                self.totals.total_blob_count += 1;
                self.totals.total_size += entry.location.plain_length();
            }
        }
    }

    fn print(mut self) -> anyhow::Result<Status> {
        let totals = &mut self.totals;
        if self.mode == StatsMode::RawData && self.compressed.1 > 0 {
            #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
            let ratio = |part: u64, of: u64| part as f64 / of as f64;
            let plain = totals.total_uncompressed_size;
            totals.compression = Some(Compression {
                compression_ratio: ratio(self.compressed.0, self.compressed.1),
                compression_progress: ratio(self.compressed.0, plain) * 100.0,
                compression_space_saving: (1.0 - ratio(totals.total_size, plain)) * 100.0,
            });
        }
        let output = &self.app.output;
        if output.is_json() {
            output.json(&totals)?;
            return Ok(self.status);
        }
        output.line(text::count(totals.snapshots_count, "snapshot"))?;
        if self.mode != StatsMode::RawData {
            output.line(text::count(totals.total_file_count, "file"))?;
        }
        if totals.total_blob_count > 0 {
            output.line(text::count(totals.total_blob_count, "blob"))?;
        }
        output.line(text::bytes(totals.total_size))?;
        if let Some(Compression { compression_space_saving: saving, .. }) = totals.compression {
            let plain = text::bytes(totals.total_uncompressed_size);
            output.line(format_args!("{plain} before compression, which saves {saving:.1}%"))?;
        }
        Ok(self.status)
    }
}
