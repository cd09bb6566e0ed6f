//! A list that grows without moving what it holds, and a hash table of chains over such lists.
//!
//! An ordinary vector or map copies itself to grow, and needs three times its size while it does. These grow
//! by a segment, and the table splits one chain at a time, so that memory never exceeds what is held.

/// Items of a segment. Its pages are used up only as it fills.
const SEGMENT_ITEMS: usize = 1 << 16;

/// Marks the end of a chain.
pub(super) const END: u32 = u32::MAX;

/// An append-only list, numbered from zero.
pub(super) struct Segments<T> {
    segments: Vec<Vec<T>>,
    len: u32,
}

impl<T> Segments<T> {
    pub(super) fn new() -> Self {
        Self { segments: Vec::new(), len: 0 }
    }

    pub(super) fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn push(&mut self, item: T) {
        let is_full = self.segments.last().is_none_or(|segment| segment.len() == SEGMENT_ITEMS);
        if is_full {
            self.segments.push(Vec::with_capacity(SEGMENT_ITEMS));
        }
        self.segments.last_mut().expect("a segment has been added if there was none").push(item);
        self.len += 1;
        assert!(self.len < END, "an index of four billion entries does not fit in memory");
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        let number = number as usize;
        self.segments.get(number / SEGMENT_ITEMS)?.get(number % SEGMENT_ITEMS)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let number = number as usize;
        self.segments.get_mut(number / SEGMENT_ITEMS)?.get_mut(number % SEGMENT_ITEMS)
    }
}

/// An item that knows the next one of its chain.
pub(super) trait Link {
    fn hash(&self) -> u32;
    fn next(&self) -> u32;
    fn set_next(&mut self, next: u32);
}

/// Items by hash. Linear hashing: buckets are added one by one, each taking its share of one older chain.
pub(super) struct ChainTable<T> {
    items: Segments<T>,
    heads: Segments<u32>,
}

/// More items per bucket cost time, fewer cost memory: four bytes a bucket.
const ITEMS_PER_BUCKET: u32 = 2;

impl<T: Link> ChainTable<T> {
    pub(super) fn new() -> Self {
        Self { items: Segments::new(), heads: Segments::new() }
    }

    pub(super) fn len(&self) -> u32 {
        self.items.len()
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.items.get(number)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.items.get_mut(number)
    }

    /// All items whose hash may be this one, with their numbers, in the order they were pushed.
    pub(super) fn chain(&self, hash: u32) -> impl Iterator<Item = (u32, &T)> {
        let mut next = self.bucket(hash).and_then(|bucket| self.heads.get(bucket)).copied().unwrap_or(END);
        std::iter::from_fn(move || {
            let number = next;
            let item = self.items.get(number)?;
            next = item.next();
            Some((number, item))
        })
    }

    /// Appends an item and returns its number.
    pub(super) fn push(&mut self, mut item: T) -> u32 {
        if self.items.len() >= self.heads.len().saturating_mul(ITEMS_PER_BUCKET) {
            self.add_bucket();
        }
        item.set_next(END);
        let (hash, number) = (item.hash(), self.items.len());
        let last = self.chain(hash).last().map(|(last, _)| last);
        self.items.push(item);
        let bucket = self.bucket(hash).expect("a bucket was added before the first item");
        self.link(bucket, last, number);
        number
    }

    /// The bucket of a hash: its low bits, one fewer where that bucket does not exist yet.
    fn bucket(&self, hash: u32) -> Option<u32> {
        let buckets = self.heads.len();
        let high = 1u32.checked_shl(buckets.checked_ilog2()?)?;
        let bucket = hash & (high | (high - 1));
        Some(if bucket < buckets { bucket } else { bucket & (high - 1) })
    }

    /// Adds the bucket that follows the last one and moves into it what belongs there.
    fn add_bucket(&mut self) {
        let added = self.heads.len();
        self.heads.push(END);
        let Some(level) = added.checked_ilog2() else { return };
        let split = added - (1 << level);
        let mut next = self.heads.get(split).copied().unwrap_or(END);
        let (mut last_kept, mut last_moved) = (None, None);
        while let Some(item) = self.items.get(next) {
            let number = next;
            next = item.next();
            if self.bucket(item.hash()) == Some(added) {
                self.link(added, last_moved.replace(number), number);
            } else {
                self.link(split, last_kept.replace(number), number);
            }
        }
        self.link(added, last_moved, END);
        self.link(split, last_kept, END);
    }

    /// Makes `number` the one after `last`, or the first of the bucket.
    fn link(&mut self, bucket: u32, last: Option<u32>, number: u32) {
        match last {
            Some(last) => {
                if let Some(last) = self.items.get_mut(last) {
                    last.set_next(number);
                }
            }
            None => {
                if let Some(head) = self.heads.get_mut(bucket) {
                    *head = number;
                }
            }
        }
    }
}
