//! A status in parts: its lists may be longer than a frame of the control socket should be.

use super::StatusView;

impl StatusView {
    /// The status in parts with at most `most` entries of lists each, the first one with everything
    /// else. [`join`](Self::join) puts them together again.
    #[must_use]
    pub fn into_parts(mut self, most: usize) -> Vec<Self> {
        let mut rest = Self::default();
        self.move_entries(&mut rest, usize::MAX);
        let mut parts = Vec::new();
        let mut part = self;
        loop {
            let moved = rest.move_entries(&mut part, most.max(1));
            if moved == 0 && !parts.is_empty() {
                return parts;
            }
            parts.push(std::mem::take(&mut part));
        }
    }

    /// Puts the next part behind this one.
    pub fn join(&mut self, mut next: Self) {
        next.move_entries(self, usize::MAX);
    }

    /// Moves entries of the lists that have no bound of their own, at most so many; tells how many.
    fn move_entries(&mut self, to: &mut Self, most: usize) -> usize {
        let mut room = most;
        let (from, into) = (&mut self.linux, &mut to.linux);
        shift(&mut from.interfaces, &mut into.interfaces, &mut room);
        shift(&mut from.addresses, &mut into.addresses, &mut room);
        shift(&mut from.unresolved, &mut into.unresolved, &mut room);
        shift(&mut from.astray, &mut into.astray, &mut room);
        shift(&mut from.unsupported, &mut into.unsupported, &mut room);
        let (from, into) = (&mut self.services.waiting, &mut to.services.waiting);
        shift(from, into, &mut room);
        most - room
    }
}

/// Moves the first entries from one list behind those of another.
fn shift<T>(from: &mut Vec<T>, to: &mut Vec<T>, room: &mut usize) {
    let count = from.len().min(*room);
    to.extend(from.drain(..count));
    *room -= count;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{AddressView, PortView};

    #[test]
    fn parts_are_bounded_and_come_together_again() {
        for (addresses, sentences, wanted) in
            [(0, 0, 1), (3, 0, 1), (3, 4, 3), (0, 9, 3), (7, 2, 3)]
        {
            let mut status = StatusView {
                version: "1".into(),
                ports: vec![PortView::default()],
                ..StatusView::default()
            };
            status.linux.addresses = (0..addresses)
                .map(|last| AddressView {
                    interface: "pvs0".into(),
                    address: [10, 0, 0, last].into(),
                    prefix_len: 24,
                })
                .collect();
            status.linux.unsupported = (0..sentences).map(|n| format!("{n}")).collect();
            let parts = status.clone().into_parts(3);
            assert_eq!(parts.len(), wanted, "{addresses} and {sentences}");
            for part in &parts {
                let entries = part.linux.addresses.len() + part.linux.unsupported.len();
                assert!(entries <= 3);
            }
            let whole = parts.into_iter().reduce(|mut whole, part| {
                whole.join(part);
                whole
            });
            assert_eq!(whole, Some(status));
        }
    }
}
