//! The index against a plain map; index files against what goes in, and against damage.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::blob::BlobKind;
use crate::error::ErrorKind;
use crate::id::{BlobId, Id};

fn blob(kind: BlobKind, name: [u8; 32]) -> BlobRef {
    BlobRef { kind, id: BlobId::new(Id::from_bytes(name)) }
}

fn pack(number: u8) -> PackId {
    PackId::new(Id::from_bytes([number; 32]))
}

fn packed(name: u8, offset: u32, length: u32) -> PackedBlob {
    let blob = blob(BlobKind::Data, [name; 32]);
    PackedBlob { blob, offset, length, uncompressed_length: None }
}

fn kinds() -> impl Strategy<Value = BlobKind> {
    prop::sample::select(vec![BlobKind::Data, BlobKind::Tree])
}

/// Few names, many of which share the bytes they are hashed by.
fn blobs() -> impl Strategy<Value = BlobRef> {
    (kinds(), 0u8..3, 0u8..8, 0u8..8).prop_map(|(kind, first, low, last)| {
        let mut name = [0; 32];
        (name[0], name[2], name[31]) = (low, first, last);
        blob(kind, name)
    })
}

fn lengths() -> impl Strategy<Value = (u32, Option<NonZeroU32>)> {
    let length = prop_oneof![1u32..3, (1u32 << 24) - 3..(1 << 24) + 3, u32::MAX - 2..=u32::MAX];
    let uncompressed = prop_oneof![0u32..3, (1u32 << 24) - 3..(1 << 24) + 3, u32::MAX - 2..=u32::MAX];
    (length, uncompressed.prop_map(NonZeroU32::new))
}

fn packed_blobs() -> impl Strategy<Value = PackedBlob> {
    (blobs(), 0u32..3, lengths()).prop_map(|(blob, offset, (length, uncompressed_length))| PackedBlob {
        blob,
        offset: offset.wrapping_sub(1),
        length,
        uncompressed_length,
    })
}

fn packs() -> impl Strategy<Value = Vec<(PackId, Vec<PackedBlob>)>> {
    prop::collection::vec(((0u8..20).prop_map(pack), prop::collection::vec(packed_blobs(), 0..20)), 0..40)
}

fn assert_like_model(index: &Index, model: &[(BlobRef, Location)]) {
    assert_eq!(index.len() as usize, model.len());
    let mut by_blob: BTreeMap<BlobRef, Vec<Location>> = BTreeMap::new();
    for (entry, (blob, location)) in index.entries().zip(model) {
        assert_eq!((entry.blob, entry.location), (*blob, *location));
        assert_eq!(index.entry(entry.ordinal), Some(entry));
        assert_eq!(index.pack(entry.pack_number), Some(location.pack));
        by_blob.entry(*blob).or_default().push(*location);
    }
    assert_eq!(index.entries().count(), model.len());
    for (blob, locations) in &by_blob {
        assert!(index.contains(*blob));
        assert_eq!(index.get(*blob).as_ref(), locations.first());
        assert_eq!(index.get_all(*blob).collect::<Vec<_>>(), *locations);
    }
    for number in 0..index.pack_count() {
        let id = index.pack(number).unwrap();
        assert_eq!(index.pack_number(id), Some(number));
        let ours: Vec<_> = index.entries_of_pack(number).map(|entry| (entry.blob, entry.location)).collect();
        let theirs: Vec<_> = model.iter().filter(|(_, location)| location.pack == id).copied().collect();
        assert_eq!(ours, theirs);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn the_index_answers_like_a_plain_map(packs in packs(), absent in blobs()) {
        let (mut index, mut model, mut seen) = (Index::new(), Vec::new(), Vec::new());
        for (pack, blobs) in &packs {
            index.insert_pack(*pack, blobs);
            if !seen.contains(pack) {
                seen.push(*pack);
            }
            for &PackedBlob { blob, offset, length, uncompressed_length } in blobs {
                let place = (blob, Location { pack: *pack, offset, length, uncompressed_length });
                if !model.contains(&place) {
                    model.push(place);
                }
            }
        }
        assert_like_model(&index, &model);
        prop_assert_eq!(index.packs().collect::<Vec<_>>(), seen);
        prop_assert_eq!(index.contains(absent), model.iter().any(|(blob, _)| *blob == absent));
        prop_assert_eq!(index.get(absent).is_some(), index.contains(absent));
    }

    #[test]
    fn an_index_file_reads_back_as_written(packs in packs(), piece in 1usize..200) {
        let mut file = IndexFileBuilder::new();
        for (pack, blobs) in &packs {
            file.add_pack(*pack, blobs);
        }
        prop_assert_eq!(file.is_empty(), packs.is_empty());
        prop_assert_eq!(&read(&file.encode()).unwrap(), &packs);
        prop_assert_eq!(&read_in_pieces(&file.encode(), piece).unwrap(), &packs);
    }

    #[test]
    fn damaged_index_files_are_errors_or_other_packs_but_never_a_panic(
        packs in packs(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut file = IndexFileBuilder::new();
        packs.iter().for_each(|(pack, blobs)| file.add_pack(*pack, blobs));
        let mut json = file.encode();
        let cut_short = &json[..cut.index(json.len())];
        prop_assert_eq!(read(cut_short).unwrap_err().kind, ErrorKind::Damaged);
        for (at, byte) in changes {
            let at = at.index(json.len());
            json[at] = byte;
        }
        if let Err(error) = read(&json) {
            prop_assert_eq!(error.kind, ErrorKind::Damaged);
        }
    }

    #[test]
    fn a_blob_set_is_a_set_of_ordinals(changes in prop::collection::vec((0u32..300, any::<bool>()), 0..200)) {
        let (mut set, mut model) = (BlobSet::new(), std::collections::BTreeSet::new());
        for (ordinal, is_insert) in changes {
            if is_insert {
                prop_assert_eq!(set.insert(ordinal), model.insert(ordinal));
            } else {
                prop_assert_eq!(set.remove(ordinal), model.remove(&ordinal));
            }
            prop_assert_eq!(set.len() as usize, model.len());
            prop_assert_eq!(set.is_empty(), model.is_empty());
        }
        for ordinal in 0..400 {
            prop_assert_eq!(set.contains(ordinal), model.contains(&ordinal));
        }
    }
}

type Packs = Vec<(PackId, Vec<PackedBlob>)>;

/// Reads in one piece and as a stream; both must say the same, or both find damage.
fn read(json: &[u8]) -> crate::Result<Packs> {
    let mut packs = Packs::new();
    let read = read_index_file(json, &mut |pack, blobs| packs.push((pack, blobs.to_vec())));
    let streamed = read_in_pieces(json, usize::MAX);
    assert_eq!(
        streamed.as_ref().map_err(|error| error.kind),
        read.as_ref().map(|()| &packs).map_err(|error| error.kind)
    );
    streamed
}

fn read_in_pieces(json: &[u8], piece: usize) -> crate::Result<Packs> {
    struct Pieces<'a>(&'a [u8], usize);
    impl std::io::Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let len = buffer.len().min(self.1);
            self.0.read(&mut buffer[..len])
        }
    }
    let mut packs = Vec::new();
    read::read_streamed(Pieces(json, piece), &mut |pack, blobs| packs.push((pack, blobs.to_vec())))?;
    Ok(packs)
}

#[test]
fn a_large_index_finds_all_its_blobs_and_no_others() {
    let name = |number: u32| *Id::of(&number.to_le_bytes()).as_bytes();
    let mut index = Index::new();
    for first in (0..150_000).step_by(16) {
        let blobs: Vec<_> = (first..first + 16)
            .map(|number| PackedBlob { blob: blob(BlobKind::Data, name(number)), ..packed(0, number, 7) })
            .collect();
        index.insert_pack(PackId::new(Id::from_bytes(name(first))), &blobs);
    }
    assert_eq!((index.len(), index.pack_count()), (150_000, 9375));
    for number in 0..150_000 {
        let entry = index.find(blob(BlobKind::Data, name(number))).unwrap();
        assert_eq!((entry.ordinal, entry.location.offset, entry.pack_number), (number, number, number / 16));
    }
    assert!(!index.contains(blob(BlobKind::Tree, name(0))));
    assert!((150_000..160_000).all(|number| index.get(blob(BlobKind::Data, name(number))).is_none()));
    assert_eq!(index.entries_of_pack(9374).map(|entry| entry.ordinal).next(), Some(149_984));
}

#[test]
fn names_that_hash_alike_are_told_apart() {
    let name = |number: u16| {
        let mut name = [3; 32];
        name[30..].copy_from_slice(&number.to_le_bytes());
        name
    };
    let mut index = Index::new();
    for number in 0..1000 {
        let blob = blob(BlobKind::Tree, name(number));
        index.insert_pack(pack(1), &[PackedBlob { blob, ..packed(0, number.into(), 1) }]);
    }
    for number in 0..1000 {
        let location = index.get(blob(BlobKind::Tree, name(number))).unwrap();
        assert_eq!(location.offset, u32::from(number));
    }
    assert_eq!(index.get(blob(BlobKind::Tree, name(1000))), None);
}

#[test]
fn an_empty_index_has_no_answer_to_anything() {
    let index = Index::default();
    assert!(index.is_empty() && !index.contains(packed(1, 0, 0).blob));
    assert_eq!((index.entry(0), index.pack(0), index.pack_number(pack(1))), (None, None, None));
    assert_eq!(index.entries().count() + index.packs().count() + index.entries_of_pack(0).count(), 0);
}

#[test]
fn a_pack_added_in_parts_shows_all_its_blobs() {
    let mut index = Index::new();
    index.insert_pack(pack(1), &[packed(1, 0, 10)]);
    index.insert_pack(pack(2), &[packed(2, 0, 10), packed(1, 10, 10)]);
    index.insert_pack(pack(1), &[packed(1, 0, 10), packed(3, 10, 10)]);
    assert_eq!(index.pack_count(), 2);
    let ordinals = |number| index.entries_of_pack(number).map(|entry| entry.ordinal).collect::<Vec<_>>();
    assert_eq!((ordinals(0), ordinals(1)), (vec![0, 3], vec![1, 2]));
}

#[test]
fn a_location_says_what_to_read_and_how_much_comes_out() {
    let mut index = Index::new();
    let compressed = PackedBlob { uncompressed_length: NonZeroU32::new(500), ..packed(2, 100, 60) };
    index.insert_pack(pack(1), &[packed(1, u32::MAX, 100), compressed]);
    let plain = index.get(packed(1, 0, 0).blob).unwrap();
    assert_eq!(plain.range(), u64::from(u32::MAX)..u64::from(u32::MAX) + 100);
    assert_eq!(plain.plain_length(), 68);
    assert_eq!(index.get(compressed.blob).unwrap().plain_length(), 500);
}

#[test]
fn index_files_are_written_as_go_writes_them() {
    let mut file = IndexFileBuilder::new();
    assert_eq!(file.encode(), br#"{"packs":[]}"#);
    let tree = PackedBlob {
        blob: blob(BlobKind::Tree, [0xcd; 32]),
        uncompressed_length: NonZeroU32::new(99),
        ..packed(0, 45, 50)
    };
    file.add_pack(pack(1), &[packed(0xab, 0, 45), tree]);
    file.add_pack(pack(2), &[]);
    let expected = format!(
        r#"{{"packs":[{{"id":"{}","blobs":[{{"id":"{}","type":"data","offset":0,"length":45}},{{"id":"{}","type":"tree","offset":45,"length":50,"uncompressed_length":99}}]}},{{"id":"{}","blobs":[]}}]}}"#,
        "01".repeat(32),
        "ab".repeat(32),
        "cd".repeat(32),
        "02".repeat(32)
    );
    assert_eq!(String::from_utf8(file.encode()).unwrap(), expected);
}

#[test]
fn an_index_file_is_full_at_fifty_thousand_blobs() {
    let mut file = IndexFileBuilder::new();
    file.add_pack(pack(1), &vec![packed(1, 0, 1); 49_999]);
    assert!(!file.is_full());
    file.add_pack(pack(2), &[packed(1, 0, 1)]);
    assert!(file.is_full());
}

#[test]
fn nulls_spaces_unknown_members_and_any_order_are_read() {
    let (one, id) = ("01".repeat(32), "ab".repeat(32));
    let blob = format!(r#"{{"length":45,"new":{{"a":[1,"\"}}"]}},"offset":0,"id":"{id}","type":"data"}}"#);
    let json = format!(
        "{{ \"supersedes\": [\"{id}\"], \"packs\" : [\n{{\"x\":1,\"blobs\":[{blob}],\"id\":\"{one}\"}},\
         {{\"id\":\"{one}\",\"blobs\":null}} ] }}\n"
    );
    let expected = vec![(pack(1), vec![packed(0xab, 0, 45)]), (pack(1), vec![])];
    assert_eq!(read(json.as_bytes()).unwrap(), expected);
    assert_eq!(read(br#"{"packs":null}"#).unwrap(), vec![]);
    assert_eq!(read(b"{}").unwrap(), vec![]);
}

#[test]
fn the_list_of_packs_that_the_first_restic_wrote_is_read() {
    let (one, id) = ("01".repeat(32), "ab".repeat(32));
    let blob = format!(r#"{{"id":"{id}","type":"data","offset":0,"length":45}}"#);
    let json = format!(r#"[{{"id":"{one}","blobs":[{blob}]}}]"#);
    assert_eq!(read(json.as_bytes()).unwrap(), vec![(pack(1), vec![packed(0xab, 0, 45)])]);
}

#[test]
fn what_is_not_an_index_file_is_refused() {
    let (one, id) = ("01".repeat(32), "ab".repeat(32));
    let deep = "[".repeat(100_000);
    let cases = [
        String::new(),
        "null".to_owned(),
        "7".to_owned(),
        r#"{"packs":7}"#.to_owned(),
        r#"{"packs":[7]}"#.to_owned(),
        r#"{"packs":[]} {}"#.to_owned(),
        r#"{"packs":[{"blobs":[]}]}"#.to_owned(),
        r#"{"packs":[{"id":"1234","blobs":[]}]}"#.to_owned(),
        format!(r#"{{"packs":[{{"id":"{one}","blobs":[{{"id":"{id}"}}]}}]}}"#),
        format!(r#"[{{"id":"{one}","blobs":[{{"id":"{id}","type":"data","offset":-1,"length":1}}]}}]"#),
        format!(
            r#"[{{"id":"{one}","blobs":[{{"id":"{id}","type":"tree","offset":0,"length":4294967296}}]}}]"#
        ),
        format!(r#"[{{"id":"{one}","blobs":[{{"id":"{id}","type":"twig","offset":0,"length":1}}]}}]"#),
        format!(r#"{{"x":{deep}"#),
        format!(r#"{{"packs":{deep}"#),
    ];
    for json in cases {
        let shown: String = json.chars().take(200).collect();
        assert_eq!(read(json.as_bytes()).expect_err(&shown).kind, ErrorKind::Damaged, "{shown}");
    }
}

#[test]
fn a_string_that_goes_on_and_on_is_refused_in_a_stream() {
    let long = "\\\"a".repeat(100_000);
    for json in [format!(r#"{{"x":"{long}","packs":[]}}"#), format!(r#"{{"{long}":1,"packs":[]}}"#)] {
        let error = read_in_pieces(json.as_bytes(), 1000).unwrap_err();
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("too long"));
    }
    let short = r#"{"x\\":"\"\\","y":"","packs":[]}"#;
    assert_eq!(read(short.as_bytes()).unwrap(), vec![]);
}

#[test]
fn a_pack_of_more_blobs_than_fit_in_one_is_refused() {
    let blob = format!(r#"{{"id":"{}","type":"data","offset":0,"length":1}}"#, "ab".repeat(32));
    let blobs = vec![blob; 500_001].join(",");
    let json = format!(r#"[{{"id":"{}","blobs":[{blobs}]}}]"#, "01".repeat(32));
    let error = read_in_pieces(json.as_bytes(), usize::MAX).unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("more blobs"));
}
