//! Reports, read again as their readers do.

use std::io::Read;

use lifeboat_repository::restore::ItemFacts;
use lifeboat_repository::tree::{NodeKind, NodeTime};

use super::*;
use crate::progress::Progress;

fn end(progress: &Progress, path: &str, size: u64, fate: Fate) {
    let mtime = NodeTime { seconds: 1_700_000_000, nanoseconds: 0 };
    let facts = ItemFacts { kind: NodeKind::File, size, mtime };
    progress.end(&Item { path: Path::new(path), facts, fate });
}

fn failed(why: &str) -> Fate {
    Fate::Failed { why: why.to_owned(), is_stored: false }
}

/// The only file of an archive, by the program everybody has.
fn unzipped(archive: &Path) -> String {
    let printed = std::process::Command::new("python3")
        .args([
            "-c",
            "import sys,zipfile; z=zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None; \
               [n]=z.namelist(); sys.stdout.write(z.read(n).decode())",
        ])
        .arg(archive)
        .output()
        .unwrap();
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    String::from_utf8(printed.stdout).unwrap()
}

#[test]
fn each_entry_has_its_row_in_the_table_and_in_one_of_the_archives() {
    let folder = tempfile::tempdir().unwrap();
    let progress = Progress::new(Some(ItemLog::create(folder.path(), "job-1").unwrap()));
    end(&progress, "/s/a,b", 5, Fate::Done);
    end(&progress, "/s/same", 7, Fate::Skipped);
    end(&progress, "/s/tab\tand \"quote\"\n", 9, failed("open: Permission denied (os error 13)"));
    assert!(progress.log().unwrap().finish().unwrap());
    make_reports(folder.path(), "job-1").unwrap();
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(
        read("job-1_total.csv"),
        "Item,Type,Size,ModifiedTime,Status,Error Message\n\
         \"/s/a,b\",file,5,2023-11-14T22:13:20Z,success,\n\
         /s/same,file,7,2023-11-14T22:13:20Z,skipped,\n\
         \"/s/tab\tand \"\"quote\"\"\n\",file,9,2023-11-14T22:13:20Z,failed,open: Permission denied (os error 13)\n"
    );
    assert_eq!(
        read("job-1_error.csv"),
        "Item\tError Message\n\"/s/tab\tand \"\"quote\"\"\n\"\topen: Permission denied (os error 13)\n"
    );
    let archive = |name: &str| unzipped(&folder.path().join(name));
    assert!(
        archive("job-1_success.zip")
            .ends_with("Error Message\n\"/s/a,b\",file,5,2023-11-14T22:13:20Z,success,\n")
    );
    assert!(
        archive("job-1_failed.zip").starts_with("Item,Error Message,Type,Size,ModifiedTime,Status\n\"/s/tab")
    );
    assert_eq!(archive("job-1_skipped.zip").lines().count(), 2);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 5, "the spool is gone");
    make_reports(folder.path(), "job-1").expect("made once, they are there");
}

#[test]
fn no_error_file_without_failures_and_no_report_of_a_spool_cut_short() {
    let folder = tempfile::tempdir().unwrap();
    let progress = Progress::new(Some(ItemLog::create(folder.path(), "job-2").unwrap()));
    end(&progress, "/s/a", 5, Fate::Done);
    assert!(!progress.log().unwrap().finish().unwrap());
    assert!(!folder.path().join(error_file("job-2")).exists());
    let spool = folder.path().join(SPOOL);
    let whole = fs::read(&spool).unwrap();
    for length in 0..whole.len() - 1 {
        fs::write(&spool, &whole[..length]).unwrap();
        assert!(make_reports(folder.path(), "job-2").is_err(), "{length}");
    }
    fs::write(&spool, whole).unwrap();
    make_reports(folder.path(), "job-2").unwrap();
}

#[test]
fn cells_cannot_become_formulas() {
    for (text, cell) in [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@sum", "'@sum"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("/a=b", "/a=b"),
    ] {
        assert_eq!(cells::safe(text), cell);
    }
    assert_eq!(cells::time(NodeTime::UNKNOWN.seconds), "");
}

#[test]
fn a_name_that_is_no_text_is_told_apart() {
    use std::ffi::OsStr;
    assert_eq!(printable(Path::new(OsStr::from_bytes(b"/a\xffb\xc3\xa4"))), "/a\\xffbä");
}

#[test]
fn an_archive_holds_more_than_one_buffer() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut zip = zip::ZipOfOne::begin(file.as_file(), "x.csv").unwrap();
    let line = "some text that comes again and again\n".repeat(10_000);
    for _ in 0..20 {
        zip.write_all(line.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
    let mut packed = Vec::new();
    File::open(file.path()).unwrap().read_to_end(&mut packed).unwrap();
    assert!(packed.len() < line.len());
    assert_eq!(unzipped(file.path()), line.repeat(20));
}
