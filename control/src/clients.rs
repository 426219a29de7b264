//! The clients of the control server: how many there may be, and who has to go when others wait.

use crate::limits::WRITE_TIME_MAX;
use std::collections::HashMap;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The clients that are being served.
#[derive(Debug)]
pub(crate) struct Clients {
    most: usize,
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    table: Mutex<Table>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    closed: bool,
    clients: HashMap<u64, Entry>,
}

/// A client, and since when it has been expected to say something, or to take its answer.
#[derive(Debug)]
struct Entry {
    stream: UnixStream,
    waiting_since: Option<Instant>,
}

/// A client's place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    number: u64,
    inner: Arc<Inner>,
}

impl Clients {
    /// At most this many.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            inner: Arc::default(),
        }
    }

    /// Waits a while until there is a place.
    pub(crate) fn wait_for_place(&self, limit: Duration) -> bool {
        let full = |table: &mut Table| table.clients.len() >= self.most;
        let waited = self
            .inner
            .freed
            .wait_timeout_while(self.inner.table(), limit, full);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Gives a client a place; `None` if all are hung up on.
    pub(crate) fn admit(&self, stream: &UnixStream) -> Option<Place> {
        let stream = stream.try_clone().ok()?;
        let mut table = self.inner.table();
        if table.closed {
            return None;
        }
        table.next += 1;
        let number = table.next;
        let waiting_since = Some(Instant::now());
        table.clients.insert(
            number,
            Entry {
                stream,
                waiting_since,
            },
        );
        Some(Place {
            number,
            inner: Arc::clone(&self.inner),
        })
    }

    /// Ends all conversations, and takes no further client.
    pub(crate) fn hang_up(&self) {
        let mut table = self.inner.table();
        table.closed = true;
        for client in table.clients.values() {
            let _ = client.stream.shutdown(Shutdown::Both);
        }
    }

    /// Ends the conversation with the client that has kept us waiting the longest, if any has for
    /// as long as `patience`: others want its place.
    pub(crate) fn hang_up_on_slowest(&self, patience: Duration) {
        let table = self.inner.table();
        let waiting = table
            .clients
            .values()
            .filter_map(|c| Some((c.waiting_since?, &c.stream)));
        let slowest = waiting.min_by_key(|(since, _)| *since);
        if let Some((_, stream)) = slowest.filter(|(since, _)| since.elapsed() >= patience) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Place {
    /// The client is expected to say something from now on.
    pub(crate) fn listen(&self) {
        self.waiting(Some(Instant::now()));
    }

    /// The client is expected to have taken its whole answer in a while.
    pub(crate) fn reply(&self) {
        self.waiting(Some(Instant::now() + WRITE_TIME_MAX));
    }

    /// The client waits for us.
    pub(crate) fn attend(&self) {
        self.waiting(None);
    }

    fn waiting(&self, since: Option<Instant>) {
        if let Some(client) = self.inner.table().clients.get_mut(&self.number) {
            client.waiting_since = since;
        }
    }
}

impl Inner {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.inner.table().clients.remove(&self.number);
        self.inner.freed.notify_one();
    }
}
