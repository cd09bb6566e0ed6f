//! The real restic, run against one repository: the judge of what we read and write.
//!
//! Which one is `LIFEBOAT_TEST_RESTIC`, or the `restic` found in the path. Where there is none the test fails:
//! a judge that did not come has not acquitted anyone. A newer one, `LIFEBOAT_TEST_RESTIC_NEW` or what the test
//! command has fetched, judges beside it where it can be had.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use lifeboat_repository::id::Id;

/// One repository, its password, and the program to use it with.
#[derive(Clone, Debug)]
pub struct Restic {
    program: PathBuf,
    repository: PathBuf,
    password: String,
    zone: String,
}

impl Restic {
    /// The program for the repository in `folder`, which need not exist yet. The password is `secret`, the time
    /// zone UTC.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let program = variable("LIFEBOAT_TEST_RESTIC").unwrap_or_else(|| "restic".to_owned()).into();
        Self { program, repository: folder.into(), password: "secret".to_owned(), zone: "UTC".to_owned() }
    }

    /// Makes a repository of format version 2 in `folder`.
    pub fn init(folder: impl Into<PathBuf>) -> Self {
        let restic = Self::new(folder);
        restic.run(["init", "--repository-version=2"]);
        restic
    }

    /// The same repository by every restic that there is: the usual one first, then the newer one.
    pub fn judges(&self) -> Vec<Self> {
        let fetched = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/test-tools/restic-0.18/restic");
        let newer = variable("LIFEBOAT_TEST_RESTIC_NEW")
            .or_else(|| Path::new(fetched).exists().then(|| fetched.to_owned()));
        let newer = newer.map(|program| self.clone().with_program(program));
        std::iter::once(self.clone()).chain(newer).collect()
    }

    /// Whether this restic keeps symlink targets that are not UTF-8, as its newer versions do.
    pub fn keeps_raw_link_targets(&self) -> bool {
        self.version() >= vec![0, 17]
    }

    pub fn with_program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    pub fn with_password(mut self, password: impl Into<String>) -> Self {
        self.password = password.into();
        self
    }

    /// Sets the time zone, by its name in the zone database.
    pub fn in_zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = zone.into();
        self
    }

    pub fn repository(&self) -> &Path {
        &self.repository
    }

    /// The command for `arguments`, ready to run: without a cache, without the environment of the test.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .envs(["PATH", "TMPDIR"].into_iter().filter_map(|name| Some((name, variable(name)?))))
            .env("HOME", "/nonexistent")
            .env("TZ", &self.zone)
            .env("RESTIC_REPOSITORY", &self.repository)
            .env("RESTIC_PASSWORD", &self.password)
            .env("RESTIC_PROGRESS_FPS", "0.01")
            .arg("--no-cache")
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Runs `command` and hands out how it ended, whatever that was.
    pub fn output(&self, command: &mut Command) -> Output {
        match command.output() {
            Ok(output) => output,
            Err(error) => panic!(
                "this test needs the program {}, which cannot be run: {error} (install the package restic, or \
                 set LIFEBOAT_TEST_RESTIC)",
                self.program.display()
            ),
        }
    }

    /// What the command prints. Panics with all it said if it does not end well.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Vec<u8> {
        self.run_in(Path::new("/"), arguments)
    }

    /// The same, with `folder` as the working directory.
    pub fn run_in<S: AsRef<OsStr>>(&self, folder: &Path, arguments: impl IntoIterator<Item = S>) -> Vec<u8> {
        let mut command = self.command(arguments);
        let output = self.output(command.current_dir(folder));
        assert!(
            output.status.success(),
            "{command:?} failed: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        output.stdout
    }

    /// Backs `paths` up from the working directory `folder`.
    pub fn backup<S: AsRef<OsStr>>(&self, folder: &Path, paths: impl IntoIterator<Item = S>) {
        let arguments = ["backup".into(), "--quiet".into(), "--".into()].into_iter();
        self.run_in(folder, arguments.chain(paths.into_iter().map(|path| path.as_ref().to_owned())));
    }

    /// Restores the snapshot (`latest`, or an id) into `target`.
    pub fn restore(&self, snapshot: &str, target: &Path) {
        self.run([OsStr::new("restore"), snapshot.as_ref(), "--target".as_ref(), target.as_ref()]);
    }

    /// Checks everything, content included. Panics if restic finds anything wrong.
    pub fn check(&self) {
        self.run(["check", "--read-data"]);
    }

    /// The snapshots as the JSON list that restic prints.
    pub fn snapshots(&self) -> String {
        String::from_utf8(self.run(["snapshots", "--json"])).expect("restic prints UTF-8")
    }

    /// The content of a file of the repository: `kind` is `snapshot`, `index`, `config`…, `name` an id.
    pub fn cat(&self, kind: &str, name: impl ToString) -> Vec<u8> {
        self.run(["cat", kind, &name.to_string()])
    }

    /// The plaintext of a blob, which must hash to its name.
    pub fn blob(&self, id: Id) -> Vec<u8> {
        let blob = self.cat("blob", id);
        assert_eq!(Id::of(&blob), id, "restic printed something else than the blob");
        blob
    }

    /// The version as numbers, such as `[0, 14, 0]`.
    pub fn version(&self) -> Vec<u32> {
        let text = String::from_utf8_lossy(&self.run(["version"])).into_owned();
        let number = text.split_whitespace().nth(1).unwrap_or_default();
        number.split(['.', '-']).map_while(|part| part.parse().ok()).collect()
    }
}

#[expect(clippy::disallowed_methods, reason = "the test command says which restic to judge with")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
