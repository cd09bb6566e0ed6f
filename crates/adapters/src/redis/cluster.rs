//! The shards of a cluster: which master serves which of the 16384 slots, and which slot a key belongs to.

use std::ops::RangeInclusive;

use super::connection::Connection;
use super::error::{RedisError, RedisErrorKind, Result};
use crate::endpoint::is_network_name;

pub(super) const SLOTS: u16 = 16_384;

/// A master of a cluster, as `CLUSTER NODES` tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    pub(super) node_id: String,
    /// Empty where the node does not know its own address.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) slots: Vec<RangeInclusive<u16>>,
    /// Another one whenever it gets a slot of another master.
    pub(super) epoch: u64,
    /// The one that was asked.
    is_asked: bool,
}

/// What a node of a cluster served when its backup was planned. As long as it serves that, and no key of it is being
/// moved, what it sends and what the others send is each key once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    pub node_id: String,
    /// As [`super::DataNode::share`] tells of it.
    pub share: String,
}

impl Planned {
    /// Fails unless it is this node that answers, and it still serves what it did.
    pub(super) fn check(&self, connection: &mut Connection) -> Result<()> {
        let unready = |what| Err(RedisError::new(RedisErrorKind::Unready, what));
        let own = own_shard(connection)?;
        if own.node_id != self.node_id {
            return unready(format!("{} is not the node {} any more", connection.name(), self.node_id));
        }
        let share = share(&own.slots, own.epoch);
        if share != self.share {
            return unready(format!(
                "the slots of the node {} have changed since the backup was begun, from {} to {share}: keys that were moved \
                 could be missing in it or be in it twice",
                self.node_id, self.share
            ));
        }
        Ok(())
    }
}

pub(super) fn share(slots: &[RangeInclusive<u16>], epoch: u64) -> String {
    let ranges: Vec<_> = slots.iter().map(|range| format!("{}-{}", range.start(), range.end())).collect();
    format!("{} of epoch {epoch}", ranges.join(","))
}

/// The master that answers, as it knows itself: of its own slots no other node knows better.
pub(super) fn own_shard(connection: &mut Connection) -> Result<Shard> {
    let shards = shards(&connection.text(&["CLUSTER", "NODES"])?)?;
    shards.into_iter().find(|shard| shard.is_asked).ok_or_else(|| {
        let what = format!("{} is not a master with slots any more", connection.name());
        RedisError::new(RedisErrorKind::Unready, what)
    })
}

/// The masters that serve slots. All slots must be served, and none be on its way to another master: a key on its way
/// could be in both backups or in none.
pub(super) fn shards(nodes: &str) -> Result<Vec<Shard>> {
    let mut shards = Vec::new();
    let mut is_served = vec![false; usize::from(SLOTS)];
    for line in nodes.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [id, address, flags, _, _, _, epoch, _, slots @ ..] = fields.as_slice() else {
            return Err(strange(line));
        };
        let has = |wanted| flags.split(',').any(|flag| flag == wanted);
        if !has("master") || slots.is_empty() {
            continue;
        }
        if slots.iter().any(|slot| slot.starts_with('[')) {
            let what =
                format!("slots of the cluster are being moved from or to the node {id}; wait until they are");
            return Err(RedisError::new(RedisErrorKind::Unready, what));
        }
        // The others may doubt (`fail?`) a node that still serves.
        if has("fail") || has("noaddr") {
            let what =
                format!("the node {id} ({address}) of the cluster has failed, and nobody serves its slots");
            return Err(RedisError::new(RedisErrorKind::Unready, what));
        }
        let slots: Vec<_> =
            slots.iter().map(|text| range(text)).collect::<Option<_>>().ok_or_else(|| strange(line))?;
        for slot in slots.iter().cloned().flatten() {
            if let Some(is_served) = is_served.get_mut(usize::from(slot)) {
                *is_served = true;
            }
        }
        let (host, port) = host_and_port(address).ok_or_else(|| strange(line))?;
        let epoch = epoch.parse().map_err(|_| strange(line))?;
        shards.push(Shard { node_id: (*id).to_owned(), host, port, slots, epoch, is_asked: has("myself") });
    }
    let missing = is_served.iter().filter(|is_served| !**is_served).count();
    if missing > 0 {
        let what = format!("{missing} of the {SLOTS} slots of the cluster are served by no master");
        return Err(RedisError::new(RedisErrorKind::Unready, what));
    }
    Ok(shards)
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = first.parse().ok()?..=last.parse().ok()?;
    (*range.end() < SLOTS).then_some(range)
}

/// Of `host:port@bus,name`.
fn host_and_port(address: &str) -> Option<(String, u16)> {
    let address = address.split(',').next()?.split('@').next()?;
    let (host, port) = address.rsplit_once(':')?;
    // A cluster leads to nothing of this machine but its network.
    if !(host.is_empty() || is_network_name(host)) {
        return None;
    }
    Some((host.to_owned(), port.parse().ok()?))
}

fn strange(line: &str) -> RedisError {
    let shown: String = line.chars().take(100).collect();
    RedisError::new(
        RedisErrorKind::Unreachable,
        format!("the cluster tells of its nodes in a strange way: {shown:?}"),
    )
}

/// The slot of a key: of what is between its first `{` and the next `}` where that is anything, else of all of it.
pub fn key_slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = key.get(open + 1..)?;
        let close = rest.iter().position(|byte| *byte == b'}')?;
        rest.get(..close).filter(|tag| !tag.is_empty())
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// The CRC-16 of XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(
            crc ^ u16::from(*byte) << 8,
            |crc: u16, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: &str = "\
aaa 127.0.0.1:7001@17001 myself,master - 0 0 1 connected 0-5460
bbb ::1:7002@17002,name master - 0 1 2 connected 5461-10000 10001 10002-10922
ccc 127.0.0.1:7003@17003 master - 0 1 3 connected 10923-16383
ddd 127.0.0.1:7004@17004 slave aaa 0 1 1 connected
eee 127.0.0.1:7005@17005 master - 0 1 4 connected
";

    #[test]
    fn the_masters_with_slots_are_the_shards() {
        let shards = shards(THREE).unwrap();
        let found: Vec<_> = shards.iter().map(|shard| (&*shard.node_id, &*shard.host, shard.port)).collect();
        assert_eq!(found, [("aaa", "127.0.0.1", 7001), ("bbb", "::1", 7002), ("ccc", "127.0.0.1", 7003)]);
        assert_eq!(shards[1].slots, [5461..=10_000, 10_001..=10_001, 10_002..=10_922]);
        assert_eq!(share(&shards[1].slots, 2), "5461-10000,10001-10001,10002-10922 of epoch 2");
        assert_eq!(
            shards.iter().map(|shard| (shard.epoch, shard.is_asked)).collect::<Vec<_>>(),
            [(1, true), (2, false), (3, false)]
        );
    }

    #[test]
    fn a_cluster_that_misses_slots_or_moves_them_is_refused() {
        let refused = |nodes: String| {
            let error = shards(&nodes).unwrap_err();
            assert_eq!(error.kind, RedisErrorKind::Unready, "{error}");
            error.to_string()
        };
        assert!(refused(THREE.replace("10001 ", "")).contains("1 of the 16384 slots"));
        assert!(refused(THREE.replace("master - 0 1 3", "master,fail - 0 1 3")).contains("ccc"));
        assert!(refused(THREE.replace("0-5460", "0-5460 [77->-bbb]")).contains("being moved"));
    }

    #[test]
    fn a_key_belongs_to_the_slot_of_its_tag() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(key_slot(b"foo"), 12_182);
        assert_eq!(key_slot(b"{foo}bar"), key_slot(b"foo"));
        assert_eq!(key_slot(b"x{foo}{bar}"), key_slot(b"foo"));
        assert_eq!(key_slot(b"{}foo"), crc16(b"{}foo") % SLOTS);
        assert_eq!(key_slot(b"{foo"), crc16(b"{foo") % SLOTS);
    }
}
