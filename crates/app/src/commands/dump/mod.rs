//! `dump`: prints a file of a snapshot as it is, or a folder as an archive.
//!
//! Contents pass through blob by blob. An archive whose content cannot be read is broken off with an error, so
//! that it is never taken for whole.

mod tar;
mod zip;

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};

use anyhow::{Context, bail};
use lifeboat_repository::id::BlobId;
use lifeboat_repository::repository::{BlobReader, Repository};
use lifeboat_repository::tree::{Node, NodeKind};

use crate::app::App;
use crate::choose::Filter;
use crate::cli::inspect::{ArchiveFormat, DumpArgs};
use crate::exit::Status;
use crate::read::{self, Found, Walk};
use crate::vault::Vault;

/// One kind of archive being written.
trait Archive {
    /// Adds an entry; `content` is that of a file. Kinds that the archive cannot hold are left out.
    fn add(&mut self, path: &[u8], node: &Node, content: &mut dyn Read) -> io::Result<()>;
    fn finish(&mut self) -> io::Result<()>;
}

pub(super) fn run(app: &App, args: &DumpArgs) -> anyhow::Result<Status> {
    let repository = Vault::of(app)?.open(app)?;
    let filter = Filter::from_args(app, &args.filter)?;
    app.reading(&repository, || {
        read::load_index(app, &repository)?;
        let opened = read::open(app, &repository, &args.snapshot, &filter)?;
        let dump = Dump { app, repository: &repository };
        let found = read::find(&repository, opened.tree, args.file.as_bytes())?;
        match &args.target {
            None => dump.write(found, args, &mut *app.output.stdout())?,
            Some(path) => {
                let failed = || format!("cannot write {}", path.display());
                let file = File::create(path).with_context(failed)?;
                let mut writer = BufWriter::new(file);
                dump.write(found, args, &mut writer)?;
                writer.flush().with_context(failed)?;
            }
        }
        Ok(Status::Success)
    })
}

struct Dump<'a> {
    app: &'a App,
    repository: &'a Repository,
}

impl Dump<'_> {
    fn write(&self, found: Found, args: &DumpArgs, writer: &mut dyn Write) -> anyhow::Result<()> {
        let tree = match found {
            Found::Tree(tree) => tree,
            Found::Node(node) if node.kind == NodeKind::File => {
                io::copy(&mut self.content(&node), writer).with_context(|| cannot_dump(&node.name))?;
                return Ok(writer.flush()?);
            }
            Found::Node(node) => match read::subtree(&node) {
                Some(tree) => tree,
                None => bail!("{} is neither a file nor a folder", String::from_utf8_lossy(&node.name)),
            },
        };
        let walk = Walk::below(self.repository, tree, args.file.as_bytes());
        match args.archive {
            ArchiveFormat::Tar => self.archive(walk, &mut tar::TarArchive::new(writer)),
            ArchiveFormat::Zip => self.archive(walk, &mut zip::ZipArchive::new(writer, &self.app.time.zone)),
        }
    }

    fn archive(&self, mut walk: Walk<'_>, archive: &mut dyn Archive) -> anyhow::Result<()> {
        while let Some(node) = walk.next(self.app) {
            let node = node?;
            let path = walk.path().strip_prefix(b"/").unwrap_or(walk.path());
            archive.add(path, &node, &mut self.content(&node)).with_context(|| cannot_dump(path))?;
        }
        Ok(archive.finish()?)
    }

    fn content<'n>(&'n self, node: &'n Node) -> Content<'n> {
        let blobs = node.content.as_deref().unwrap_or_default().iter();
        Content { app: self.app, reader: self.repository.blob_reader(), blobs, plain: Vec::new(), at: 0 }
    }
}

fn cannot_dump(path: &[u8]) -> String {
    format!("cannot dump {}", String::from_utf8_lossy(path))
}

/// The content of a file, blob after blob.
struct Content<'n> {
    app: &'n App,
    reader: BlobReader<'n>,
    blobs: std::slice::Iter<'n, BlobId>,
    plain: Vec<u8>,
    at: usize,
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.plain.len() {
            let Some(id) = self.blobs.next() else { return Ok(0) };
            self.app.ctx.cancel.check().map_err(io::Error::other)?;
            self.reader.read(read::data_blob(*id), &mut self.plain).map_err(io::Error::other)?;
            self.at = 0;
        }
        let mut left = self.plain.get(self.at..).unwrap_or_default();
        let read = left.read(buffer)?;
        self.at += read;
        Ok(read)
    }
}
