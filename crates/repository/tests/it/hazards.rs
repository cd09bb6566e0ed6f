//! What went wrong in other backup programs, and the tests that show it does not here.
//!
//! After each hazard come the tests, by file below `crates/` and name. That they exist is a test itself.
//!
//! Hazard 11 (a repair that removes what is good) has none: there is no command that repairs. A backup that finds
//! the parent's trees damaged stores them again beside the damaged ones, and deletes nothing
//! (`repository/tests/it/damage.rs::a_backup_mends_the_trees_and_the_index_that_its_parent_has_lost`). Nor can a mount
//! over the vault lock anything up: nothing is mounted.
//!
//! 1. a pruned pack that held a blob twice:
//! * `repository/tests/it/prune_packs.rs::a_blob_that_a_pack_holds_twice_survives`
//! * `repository/tests/it/prune.rs::random_histories_keep_every_snapshot_as_it_was_taken`
//!
//! 2. repacked blobs that do not unpack:
//! * `repository/tests/it/prune_packs.rs::compressed_and_plain_blobs_are_repacked_to_what_they_were`
//! * `repository/tests/it/prune_packs.rs::plain_data_is_compressed_when_asked_for`
//!
//! 3. a failed upload that nobody reports:
//! * `repository/tests/it/faults.rs::a_first_backup_survives_each_fault_at_each_call`
//! * `repository/tests/it/faults.rs::a_storage_that_fails_for_good_from_any_call_on_is_reported`
//! * `repository/tests/it/storage.rs::each_call_survives_each_passing_fault`
//! * `repository/tests/it/pipeline.rs::packs_whose_index_file_could_not_be_written_are_not_relied_on_by_the_next_backup`
//!
//! 4. blobs deleted that a backup under way relies on:
//! * `repository/tests/it/backup_locks.rs::a_prune_waits_for_the_backup_or_stops_it_but_never_takes_what_it_relies_on`
//! * `repository/tests/it/backup_locks.rs::a_prune_at_any_moment_before_the_backup_begins_is_noticed`
//! * `repository/tests/it/pipeline.rs::two_backups_through_one_open_repository_do_not_rely_on_what_the_other_has_not_indexed`
//! * `repository/src/lock/tests/interop.rs::restic_backs_up_beside_our_shared_lock_and_refuses_to_prune`
//!
//! 5. two maintainers, a suspended machine:
//! * `repository/src/lock/tests.rs::two_that_want_to_be_alone_are_never_both_let_in`
//! * `repository/src/lock/tests.rs::a_lock_taken_for_stale_during_a_pause_stops_the_next_commit`
//! * `repository/tests/it/backup_locks.rs::a_clock_that_jumped_costs_nothing_while_nobody_took_the_lock`
//! * `repository/tests/it/prune.rs::prune_stops_before_its_next_commit_when_the_lock_is_lost`
//!
//! 6. a prune killed between deleting and writing the index:
//! * `repository/tests/it/prune.rs::a_prune_that_fails_at_any_call_loses_nothing_and_can_be_repeated`
//! * `repository/tests/it/pipeline.rs::an_index_read_before_a_prune_elsewhere_is_read_again_before_anything_relies_on_it`
//! * `repository/tests/it/hazards.rs::a_backup_after_a_prune_killed_at_any_call_misses_nothing`
//! * `repository/tests/it/storage.rs::a_file_deleted_elsewhere_is_not_served_from_the_copy`
//!
//! 7. a lock that is lost while its holder goes on:
//! * `repository/tests/it/backup_locks.rs::a_backup_whose_lock_was_removed_makes_no_index_and_no_snapshot`
//! * `repository/tests/it/backup_locks.rs::a_lock_lost_at_any_call_stops_the_next_commit`
//! * `repository/tests/it/copy.rs::a_lost_lock_stops_a_copy_before_it_commits`
//! * `repository/src/lock/tests.rs::the_refresher_writes_the_lock_anew_every_five_minutes`
//! * `repository/src/lock/tests.rs::unlock_removes_what_is_stale_and_keeps_what_may_live`
//!
//! 8. a compressor with a bug:
//! * `repository/src/pack/builder.rs::what_a_faulty_compressor_wrote_is_found_before_the_pack_is_stored`
//!
//! 9. faulty memory or processor:
//! * `repository/src/pack/builder.rs::a_bit_flipped_after_sealing_is_found_before_the_pack_is_stored`
//! * `repository/src/pack/builder.rs::a_bit_flipped_between_hashing_and_compressing_is_found_before_the_pack_is_stored`
//!
//! 10. an index in memory that loses or mixes up entries:
//! * `repository/src/index/tests.rs::the_index_answers_like_a_plain_map`
//! * `repository/src/index/tests.rs::a_large_index_finds_all_its_blobs_and_no_others`
//! * `repository/src/index/tests.rs::names_that_hash_alike_are_told_apart`
//!
//! 13. half a file taken for a whole one:
//! * `repository/tests/it/faults.rs::a_first_backup_survives_each_fault_at_each_call`
//! * `repository/src/storage/local/tests.rs::a_failed_put_removes_its_temporary_file`
//! * `repository/tests/it/damage.rs::check_finds_every_flipped_bit`
//! * `repository/tests/it/copy.rs::a_copy_that_fails_at_any_call_leaves_no_snapshot_with_a_hole`
//!
//! 14. a cancelled upload that counts as done:
//! * `repository/tests/it/faults.rs::a_backup_cancelled_at_any_call_is_either_cancelled_or_complete`
//! * `repository/tests/it/faults.rs::a_storage_that_hangs_at_any_call_is_given_up_by_a_cancel`
//! * `repository/tests/it/prune.rs::a_cancelled_prune_loses_nothing`
//! * `app/tests/it/interruptions.rs::an_interrupt_ends_a_backup_with_130_and_leaves_the_vault_whole`
//!
//! 15. an index file rewritten without some entries of a pack:
//! * `repository/tests/it/prune_packs.rs::entries_of_a_pack_that_are_spread_over_index_files_all_stay`
//! * `repository/src/index/tests.rs::an_index_file_reads_back_as_written`
//! * `repository/src/index/tests.rs::a_pack_added_in_parts_shows_all_its_blobs`
//!
//! 16. listings that lag behind:
//! * `repository/tests/it/hazards.rs::listings_that_lag_behind_cost_space_and_nothing_else`
//! * `repository/tests/it/prune_packs.rs::a_listing_that_lags_behind_loses_nothing`
//!
//! 17. a cache that is trusted too much:
//! * `repository/tests/it/storage.rs::a_poisoned_copy_is_fetched_anew`
//! * `repository/tests/it/storage.rs::a_file_deleted_elsewhere_is_not_served_from_the_copy`
//! * `repository/tests/it/storage.rs::a_damaged_file_is_passed_on_and_not_kept`
//!
//! 18. no room for vault, cache or temporary files:
//! * `repository/tests/it/faults.rs::a_first_backup_survives_each_fault_at_each_call`
//! * `repository/tests/it/hazards.rs::a_full_spool_folder_ends_the_backup_with_an_error`
//! * `repository/tests/it/storage.rs::a_cache_without_room_fails_nothing`
//! * `adapters/tests/it/files/limits.rs::a_spool_that_cannot_be_written_names_the_folder`
//! * `app/tests/it/interruptions.rs::a_full_disk_ends_a_backup_with_a_clear_error_and_leaves_the_vault_whole`
//!
//! 19. files that change or vanish meanwhile:
//! * `adapters/tests/it/files/errors.rs::an_entry_that_vanishes_between_listing_and_looking_is_named`
//! * `adapters/tests/it/files/errors.rs::a_file_replaced_by_something_else_is_refused`
//! * `adapters/tests/it/files/content.rs::a_file_that_grows_while_it_is_read_says_so`
//! * `adapters/tests/it/files/content.rs::a_file_that_shrinks_while_it_is_read_says_so`
//! * `app/tests/it/losses.rs::a_file_that_vanishes_costs_one_line`
//!
//! 20. "completed" though something was lost:
//! * `repository/tests/it/hazards.rs::whatever_is_lost_of_an_entry_is_counted_and_the_rest_is_saved`
//! * `app/tests/it/losses.rs::a_file_that_fails_while_being_read_costs_one_line`
//! * `repository/tests/it/restore/faults.rs::whichever_call_of_the_storage_fails_no_file_is_wrong_and_none_is_missing_silently`
//!
//! And an excluded root that is silently empty; a snapshot of the future that counts as the latest:
//! * `adapters/tests/it/files/exclude.rs::roots_are_never_excluded_and_an_empty_one_is_told`
//! * `app/tests/it/losses.rs::a_root_that_patterns_leave_empty_is_warned_of`
//! * `repository/src/retention/tests.rs::a_snapshot_dated_in_the_future_neither_counts_nor_goes`

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use lifeboat_repository::lock::LockMode;
use lifeboat_repository::prune::{MaxUnused, PruneOptions};
use lifeboat_repository::repository::{Repository, Settings};
use lifeboat_repository::source::{Access, Content, Entry, EntryError, Event, Source};
use lifeboat_repository::storage::{FileKind, MemStorage};
use lifeboat_repository::tree::{Node, NodeKind, mode};
use lifeboat_repository::{Ctx, ErrorKind};
use lifeboat_testkit::repository::{init, settings};
use lifeboat_testkit::storage::{Fault, FaultStorage};
use rustix::process::{Resource, getrlimit};

use crate::made::{self, MadeSource, Trouble, backup, contents, small_packs};
use crate::vault;

/// The tests that the list above names.
fn named_tests() -> Vec<(String, String)> {
    let list = include_str!("hazards.rs").lines().filter(|line| line.starts_with("//! "));
    let quoted = list.flat_map(|line| line.split('`').skip(1).step_by(2));
    let split = |name: &str| name.split_once("::").map(|(file, test)| (file.to_owned(), test.to_owned()));
    quoted.filter_map(split).filter(|(file, _)| file.contains('/')).collect()
}

#[test]
fn the_tests_that_the_list_names_exist() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let named = named_tests();
    assert!(named.len() > 50, "the list is long");
    for (file, test) in named {
        let source = std::fs::read_to_string(crates.join(&file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        let (before, _) =
            source.split_once(&format!("fn {test}(")).unwrap_or_else(|| panic!("{file}: {test}"));
        let lines: Vec<_> = before.lines().rev().take(4).map(str::trim).collect();
        assert!(lines.contains(&"#[test]"), "{file}: {test} is not a test");
    }
}

fn new_vault() -> MemStorage {
    let vault = MemStorage::new();
    init(Arc::new(vault.clone()));
    vault
}

#[test]
fn whatever_is_lost_of_an_entry_is_counted_and_the_rest_is_saved() {
    let files = made::files(30, 25, 3000);
    let partly = [Trouble::Complete, Trouble::Changed, Trouble::ChangedUnknown];
    let wholly = [Trouble::Walk, Trouble::Open, Trouble::Stat, Trouble::Read];
    for trouble in partly.into_iter().chain(wholly) {
        let vault = new_vault();
        let repository = made::open(Arc::new(vault.clone()), small_packs());
        let lock = vault::lock(&repository, LockMode::Shared).unwrap();
        let ctx = Ctx::default();
        let mut source = MadeSource::with_trouble(&files, "1/013", trouble);
        let report = repository.backup(&mut source, made::options(None), &lock, &ctx).unwrap();
        // Attributes are asked for once; the walk and the worker do not count the same trouble twice.
        assert_eq!((report.lost_count, report.lost.len()), (1, 1), "{trouble:?}: {:?}", report.lost);
        assert_eq!(report.lost[0].path, Path::new("1/013"), "{trouble:?}");
        assert_eq!(ctx.counters.errors.load(std::sync::atomic::Ordering::Relaxed), 1, "{trouble:?}");
        let mut expected = files.clone();
        if wholly.contains(&trouble) {
            expected.remove("1/013");
        }
        assert_eq!(report.files.total(), expected.len() as u64, "{trouble:?}");
        let saved = contents(&vault::open(&vault), report.tree.unwrap());
        assert!(saved == expected, "{trouble:?}: {:?}", saved.keys());
    }
}

#[test]
fn a_backup_after_a_prune_killed_at_any_call_misses_nothing() {
    let files = made::files(32, 30, 400);
    let whole = new_vault();
    let repository = made::open(Arc::new(whole.clone()), small_packs());
    let all = backup(&repository, &files, None).unwrap().snapshot.unwrap();
    let few: made::Files = files.clone().into_iter().step_by(7).collect();
    backup(&repository, &few, None).unwrap();
    let lock = vault::lock(&repository, LockMode::Exclusive).unwrap();
    assert!(repository.delete_snapshots(&[all], &lock, &Ctx::default()).unwrap().is_empty());
    drop(lock);
    for number in 0.. {
        let vault = whole.fork();
        let faulty = FaultStorage::new(vault.clone());
        // Opened before: its index knows all that the prune deletes.
        let opened = vault::open(&vault);
        let pruner = made::open(Arc::new(faulty.clone()), small_packs());
        let lock = vault::lock(&pruner, LockMode::Exclusive).unwrap();
        faulty.forget_calls();
        faulty.fail_from(number, Fault::Error);
        let options = PruneOptions { max_unused: MaxUnused::Bytes(0), workers: 1, ..PruneOptions::default() };
        let pruned = pruner.prune(&options, &lock, &Ctx::default());
        let is_over = faulty.faults() == 0;
        drop(lock);
        // What the killed process leaves behind besides is its lock.
        vault::remove_locks(&vault);
        let report = backup(&opened, &files, None).unwrap();
        assert_eq!(contents(&vault::open(&vault), report.tree.unwrap()), files, "killed at call {number}");
        vault::assert_sound(&vault);
        if is_over {
            assert!(pruned.unwrap().is_complete() && number > 30);
            break;
        }
    }
}

#[test]
fn listings_that_lag_behind_cost_space_and_nothing_else() {
    let files = made::files(31, 25, 500);
    let vault = new_vault();
    let faulty = FaultStorage::new(vault.clone());
    let repository = made::open(Arc::new(faulty.clone()), small_packs());
    faulty.freeze_listings();
    let first = backup(&repository, &files, None).unwrap();
    let before = vault.contents();
    let second = backup(&repository, &files, first.snapshot).unwrap();
    assert_eq!(second.tree, first.tree);
    for (file, content) in before {
        assert!(file.kind == FileKind::Lock || vault.contents().get(&file) == Some(&content), "{file}");
    }
    faulty.thaw_listings();
    vault::assert_sound(&vault);
    let third = backup(&repository, &files, first.snapshot).unwrap();
    assert_eq!((third.data_blobs, third.tree_blobs), (0, 0));
    assert_eq!(contents(&vault::open(&vault), third.tree.unwrap()), files);
}

/// So many links that their folder's tree does not fit into memory.
struct ManyLinks(std::ops::Range<u32>);

impl Source for ManyLinks {
    fn next_event(&mut self, _ctx: &Ctx) -> Option<Result<Event, EntryError>> {
        let number = self.0.next()?;
        let node = Node {
            name: format!("{number:08}").into_bytes(),
            kind: NodeKind::Symlink,
            mode: mode::SYMLINK | 0o777,
            link_target: format!("{}", lifeboat_repository::id::Id::of(&number.to_le_bytes()))
                .repeat(6)
                .into(),
            ..Node::default()
        };
        Some(Ok(Event::Item(Entry { path: "link".into(), node, access: Box::new(Nothing) })))
    }
}

struct Nothing;

impl Access for Nothing {
    fn complete(&self, _node: &mut Node) -> Result<(), EntryError> {
        Ok(())
    }

    fn open(&self) -> Result<Box<dyn Content>, EntryError> {
        unreachable!("links are not opened")
    }
}

fn back_up_many_links(vault: &MemStorage, spool_folder: &Path) -> Result<usize, ErrorKind> {
    let settings = Settings { spool_folder: spool_folder.to_owned(), ..settings() };
    let repository: Repository = made::open(Arc::new(vault.clone()), settings);
    let lock = vault::lock(&repository, LockMode::Shared).unwrap();
    let report = repository.backup(&mut ManyLinks(0..12_000), made::options(None), &lock, &Ctx::default());
    let tree = report.map_err(|error| error.kind)?.tree.unwrap();
    Ok(repository.read_tree(tree).unwrap().count())
}

/// The part of the test that may not write files of more than 64 blocks.
fn with_a_full_spool_folder() {
    let vault = new_vault();
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(back_up_many_links(&vault, folder.path()), Err(ErrorKind::Io));
    assert!(vault::files(&vault, FileKind::Snapshot).is_empty());
    vault::assert_sound(&vault);
}

#[test]
fn a_full_spool_folder_ends_the_backup_with_an_error() {
    if getrlimit(Resource::Fsize).current.is_some() {
        return with_a_full_spool_folder();
    }
    let (vault, folder) = (new_vault(), tempfile::tempdir().unwrap());
    assert_eq!(back_up_many_links(&vault, folder.path()), Ok(12_000), "there is room");
    let missing = back_up_many_links(&new_vault(), &folder.path().join("missing"));
    assert_eq!(missing, Err(ErrorKind::Io));
    // A limit on the size of files is a full disk to whoever writes one, and needs no root.
    let limited = "trap '' XFSZ; ulimit -f 64; exec \"$0\" --exact \"$1\"";
    let name = "hazards::a_full_spool_folder_ends_the_backup_with_an_error";
    let child =
        Command::new("sh").args(["-c", limited]).arg(std::env::current_exe().unwrap()).arg(name).output();
    let child = child.unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
}
