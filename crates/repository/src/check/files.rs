//! Checking the small files: config, keys and indexes.

use std::io::Read;

use super::{Findings, HintKind, Problem, ProblemKind};
use crate::config::Config;
use crate::ctx::{Counters, Ctx};
use crate::error::{Error, Result};
use crate::id::{Id, IndexId, KeyId};
use crate::index::{Index, read_index_file};
use crate::key::KeyFile;
use crate::repository::Repository;
use crate::storage::{FileId, FileKind, list_ids};

/// A config or key file beyond this is taken for damage.
const MOST_SMALL_BYTES: u64 = 1 << 20;

impl Repository {
    pub(super) fn check_config(&self, findings: &Findings) {
        let checked = self.read_small(FileId::CONFIG).and_then(|sealed| {
            let mut plain = Vec::new();
            let opened = self.master_key().open(&sealed, &mut plain);
            opened.map_err(|e| Error::damaged("the config file is damaged").because(e))?;
            let config: Config = serde_json::from_slice(&plain)
                .map_err(|e| Error::damaged("the config file is not what a config file is").because(e))?;
            config.version().map(|_| config)
        });
        match checked {
            Ok(config) if config == *self.config() => {}
            Ok(_) => {
                let sentence = "the config file is no longer the one that this repository was opened with";
                findings.problem(Problem::new(FileId::CONFIG, ProblemKind::Contradicted, sentence));
            }
            Err(error) => findings.problem(Problem::of_error(FileId::CONFIG, &error)),
        }
    }

    /// Checks that each key file is what its name says and can be parsed; returns how many there are.
    pub(super) fn check_keys(&self, findings: &Findings, ctx: &Ctx) -> Result<u64> {
        let ids = list_ids(self.storage(), FileKind::Key)?;
        for id in &ids {
            ctx.cancel.check()?;
            let file = FileId::from(KeyId::new(*id));
            if let Err(error) = self.check_key(file) {
                findings.problem(Problem::of_error(file, &error));
            }
        }
        let ours = FileId::from(self.key_id());
        if !ids.contains(&ours.id) {
            let sentence = format!("the {ours}, which this repository was opened with, is missing");
            findings.problem(Problem::new(ours, ProblemKind::Missing, sentence));
        }
        Ok(ids.len() as u64)
    }

    fn check_key(&self, file: FileId) -> Result<()> {
        let content = self.read_small(file)?;
        let damaged = || Error::damaged(format!("the {file} is damaged"));
        if Id::of(&content) != file.id {
            return Err(damaged().because("its content has another name"));
        }
        KeyFile::parse(&content).map(|_| ()).map_err(|e| damaged().because(e))
    }

    fn read_small(&self, file: FileId) -> Result<Vec<u8>> {
        let size = self.storage().size(file)?;
        if size > MOST_SMALL_BYTES {
            return Err(Error::damaged(format!("the {file} is {size} bytes long, far too long")));
        }
        Ok(self.storage().read(file, 0..size)?)
    }

    /// Loads all index files that can be loaded into the index; returns how many files there are.
    pub(super) fn check_indexes(&self, findings: &Findings, ctx: &Ctx) -> Result<u64> {
        let ids = list_ids(self.storage(), FileKind::Index)?;
        ctx.counters.begin_phase("load index", ids.len() as u64, 0);
        let mut loader = Loader { index: Index::new(), last_file: Vec::new(), findings };
        let mut loaded = Vec::new();
        for (number, id) in (1..).zip(&ids) {
            ctx.cancel.check()?;
            let id = IndexId::new(*id);
            match loader.load(self, id, number) {
                Ok(()) => loaded.push(id.id()),
                Err(error) => {
                    ctx.cancel.check()?;
                    findings.problem(Problem::of_error(FileId::from(id), &error));
                }
            }
            Counters::add(&ctx.counters.items_done, 1);
        }
        self.replace_index(loader.index, loaded);
        Ok(ids.len() as u64)
    }
}

struct Loader<'f> {
    index: Index,
    /// For each pack the number of the last index file that named it; 0 for none.
    last_file: Vec<u32>,
    findings: &'f Findings,
}

impl Loader<'_> {
    fn load(&mut self, repository: &Repository, id: IndexId, number: u32) -> Result<()> {
        let mut content = repository.files().open_unpacked(FileKind::Index, id.id())?;
        let damaged = |e: Error| Error::damaged(format!("the index file {id} is damaged")).because(e);
        let mut first = [0];
        let read = content.read(&mut first);
        let read = read.map_err(|e| damaged(Error::damaged("it does not unpack").because(e)))?;
        if read == 1 && first == *b"[" {
            let sentence = format!("the index file {id} is in the form of the first versions of restic");
            self.findings.hint(FileId::from(id), HintKind::LegacyIndex, sentence);
        }
        let front: &[u8] = first.get(..read).unwrap_or_default();
        let Self { index, last_file, findings } = self;
        let visit = &mut |pack, blobs: &[_]| {
            index.insert_pack(pack, blobs);
            let pack_number = index.pack_number(pack).unwrap_or_default() as usize;
            if pack_number >= last_file.len() {
                last_file.resize(pack_number + 1, 0);
            }
            let Some(last) = last_file.get_mut(pack_number) else { return };
            if *last != 0 && *last != number {
                let sentence = format!("pack {pack} is named by more than one index file");
                findings.hint(FileId::from(pack), HintKind::PackInSeveralIndexes, sentence);
            }
            *last = number;
        };
        read_index_file(front.chain(content), visit).map_err(damaged)
    }
}
