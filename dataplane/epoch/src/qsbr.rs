//! Publisher, readers, and the pointer between them: the only unsafe code of the crate.
//!
//! Every node is made by `Box::into_raw` and has exactly one owner at a time: the shared pointer
//! (the newest), the publisher's list of retired ones, or, after the publisher, the orphans.

#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::PoisonError;

use crate::seen::{Seen, settle};
use crate::sync::{Arc, AtomicPtr, Mutex, Ordering};

struct Node<T> {
    version: u64,
    value: T,
}

/// Nodes that were replaced, oldest first.
type Retired<T> = VecDeque<*mut Node<T>>;

/// The word that readers load at every poll shares its cache line with nothing.
#[repr(align(128))]
struct Newest<T>(AtomicPtr<Node<T>>);

struct Shared<T> {
    newest: Newest<T>,
    /// What readers still used when the publisher was dropped.
    orphans: Mutex<Retired<T>>,
}

/// Frees one node.
///
/// # Safety
/// `node` came from `Box::into_raw`, is freed once, and nobody refers to it any more.
unsafe fn free<T>(node: *mut Node<T>) {
    // SAFETY: the caller's promise is that of `Box::from_raw`.
    drop(unsafe { Box::from_raw(node) });
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let orphans = {
            let mut held = self.orphans.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *held)
        };
        for node in orphans {
            // SAFETY: the publisher handed it over when it was dropped, and left its own list
            // empty; publisher and readers are gone, for this is the last owner of `Shared`.
            unsafe { free(node) };
        }
        let newest = self.newest.0.load(Ordering::Relaxed);
        // SAFETY: the newest node is in no list of replaced ones; nobody is left, as above.
        unsafe { free(newest) };
    }
}

/// Makes a publisher of a first value, which has version 1, and its readers. They start offline:
/// a reader whose thread has not begun yet holds nothing up.
pub fn channel<T>(first: T, readers: usize) -> (Publisher<T>, Vec<Reader<T>>) {
    let node = Box::into_raw(Box::new(Node {
        version: 1,
        value: first,
    }));
    let shared = Arc::new(Shared {
        newest: Newest(AtomicPtr::new(node)),
        orphans: Mutex::new(VecDeque::new()),
    });
    let seen: Vec<Arc<Seen>> = (0..readers).map(|_| Arc::new(Seen::new())).collect();
    let readers = seen
        .iter()
        .map(|seen| Reader {
            held: std::ptr::null(),
            version: 0,
            seen: Arc::clone(seen),
            shared: Arc::clone(&shared),
            owns: PhantomData,
        })
        .collect();
    let publisher = Publisher {
        newest: node,
        version: 1,
        retired: VecDeque::new(),
        seen,
        shared,
    };
    (publisher, readers)
}

/// Replaces the value, and frees what was replaced. Lives on one thread.
pub struct Publisher<T> {
    /// The same as `shared.newest`, which only the publisher stores to.
    newest: *mut Node<T>,
    version: u64,
    retired: Retired<T>,
    seen: Vec<Arc<Seen>>,
    shared: Arc<Shared<T>>,
}

// SAFETY: the raw pointers are owned, not borrowed. Moving a publisher moves the right to drop
// values (T: Send) that readers on other threads look at meanwhile (T: Sync).
unsafe impl<T: Send + Sync> Send for Publisher<T> {}

impl<T> Publisher<T> {
    /// Makes `value` the newest and returns its version. Frees nothing.
    pub fn publish(&mut self, value: T) -> u64 {
        self.version += 1;
        let node = Box::into_raw(Box::new(Node {
            version: self.version,
            value,
        }));
        self.shared.newest.0.store(node, Ordering::Release);
        self.retired
            .push_back(std::mem::replace(&mut self.newest, node));
        self.version
    }

    /// The newest value.
    pub fn current(&self) -> &T {
        // SAFETY: the newest node is freed by nobody while the publisher lives, and it stays the
        // newest for as long as `self` is borrowed; nobody has a mutable reference to a node.
        let node = unsafe { &*self.newest };
        &node.value
    }

    /// The newest value's version.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Drops, on this thread, the replaced values that every online reader has passed, and tells
    /// how many. A reader that is just coming online puts it off to the next call.
    pub fn reclaim(&mut self) -> usize {
        if self.retired.is_empty() {
            return 0;
        }
        settle();
        // The newest value is never freed here, hence the limit when all are offline.
        let floor = self
            .seen
            .iter()
            .map(|seen| seen.floor())
            .min()
            .unwrap_or(u64::MAX);
        let mut freed = 0;
        while let Some(&node) = self.retired.front() {
            // SAFETY: a retired node stays allocated until the line below that frees it.
            let version = unsafe { (*node).version };
            if version >= floor {
                break;
            }
            self.retired.pop_front();
            // SAFETY: made by `publish` or `channel`, and in the list once. Every reader is
            // offline or has stored a higher version as seen, by release, after its last use of
            // this one, and `floor` was read by acquire. One that comes online unseen by us
            // loads `newest` behind its fence, ours lies between the store that replaced this
            // node and the look at the seen words, so it finds a later one.
            unsafe { free(node) };
            freed += 1;
        }
        freed
    }

    /// How many replaced values are not freed yet.
    pub fn outstanding(&self) -> usize {
        self.retired.len()
    }

    /// The version that each reader, in the order of `channel`'s list, refers to: `None` for one
    /// that is offline, 0 for one that is just coming online. For people: what it says may be over.
    pub fn seen(&self) -> impl Iterator<Item = Option<u64>> {
        let floors = self.seen.iter().map(|seen| seen.floor());
        floors.map(|floor| Some(floor).filter(|version| *version != u64::MAX))
    }

    /// A reader (by its place in `channel`'s list) that has not passed `version` yet. `None` says
    /// that no reader refers to an older value, nor ever will; it stays true even if a later call
    /// names a reader that is just coming online. A reader offline never lags.
    pub fn laggard(&self, version: u64) -> Option<usize> {
        settle();
        self.seen.iter().position(|seen| seen.floor() < version)
    }
}

impl<T> Drop for Publisher<T> {
    fn drop(&mut self) {
        self.reclaim();
        if self.retired.is_empty() {
            return;
        }
        let mut orphans = self
            .shared
            .orphans
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        orphans.append(&mut self.retired);
    }
}

/// Looks at the newest value. Lives on one thread at a time; dropping it is going offline for ever.
pub struct Reader<T> {
    /// What the last poll returned; null while offline.
    held: *const Node<T>,
    version: u64,
    seen: Arc<Seen>,
    shared: Arc<Shared<T>>,
    /// The last owner drops values, whichever it is.
    owns: PhantomData<T>,
}

// SAFETY: a reader looks at values that others look at too (T: Sync), and may be the last owner,
// which drops them (T: Send).
unsafe impl<T: Send + Sync> Send for Reader<T> {}

impl<T> Reader<T> {
    /// The newest value. This is the quiescent point: the borrow ends all use of the value that
    /// the previous poll returned. A reader that was offline comes online.
    #[inline]
    pub fn poll(&mut self) -> &T {
        let newest = self.shared.newest.0.load(Ordering::Acquire);
        // A held node cannot have been freed, so its address cannot have been used again.
        if !std::ptr::eq(newest, self.held) {
            return self.advance();
        }
        // SAFETY: it is the held node, which is not freed while this reader's seen word is not
        // above its version; the word changes in methods that take `&mut self` only, and those
        // cannot be called while the reference that is returned lives.
        let node = unsafe { &*newest };
        &node.value
    }

    /// The rest of a poll when there is something new.
    #[cold]
    fn advance(&mut self) -> &T {
        if self.held.is_null() {
            self.seen.arrive();
        }
        let newest = self.shared.newest.0.load(Ordering::Acquire);
        // SAFETY: the seen word has been at or below this node's version since before the load:
        // it is either the version held so far, and versions only grow, or "arriving", which is
        // below all; therefore it is not freed. The lifetime is bound as in `poll`.
        let node = unsafe { &*newest };
        self.held = newest;
        self.version = node.version;
        self.seen.advance(node.version);
        &node.value
    }

    /// The version that the last poll returned, 0 while offline.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Where the words lie that publisher and reader share: the newest value's, which the
    /// publisher writes and all readers load, and the seen one, which this reader alone writes.
    /// For checks of the layout.
    pub fn places(&self) -> [Range<usize>; 2] {
        let newest = std::ptr::from_ref(&self.shared.newest);
        let seen = Arc::as_ptr(&self.seen);
        [
            newest.addr()..newest.wrapping_add(1).addr(),
            seen.addr()..seen.wrapping_add(1).addr(),
        ]
    }

    /// Before sleeping: from here to the next poll the reader refers to nothing and holds
    /// nothing up.
    pub fn offline(&mut self) {
        self.held = std::ptr::null();
        self.version = 0;
        self.seen.go_offline();
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        self.offline();
    }
}
