//! What recovery does to Linux: taps and namespaces as they are, and who is told of them.

use crate::ports;
use crate::recovery::{Hands, Named};
use crate::watch::News;
use crossbeam::channel::Sender;
use pvs_dataplane::fib::PortIndex;
use pvs_linux::{Error, MirrorTap, Namespace, NeighbourKeeper, NewTap, TapBinding, TapConfig};
use pvs_linux::{Watcher, refuse_shared_namespace};
use std::sync::{Arc, mpsc};

/// Who has to know.
pub struct Reach<'a> {
    /// The mirror's sockets,
    pub watcher: &'a mut Watcher,
    /// and those for neighbours.
    pub keeper: &'a mut NeighbourKeeper,
    /// The exchange, of new taps.
    pub exchange: &'a mpsc::Sender<NewTap>,
    /// Main, likewise.
    pub news: &'a Sender<News>,
}

impl Hands for Reach<'_> {
    type Netns = Namespace;
    type Tap = Arc<MirrorTap>;

    fn named(&mut self, netns: &Namespace) -> Named<Namespace> {
        match Namespace::open(netns.name()) {
            Err(_) => Named::Nothing,
            Ok(found) if found.is_same(netns) => Named::Same,
            Ok(found) => Named::Other(found),
        }
    }

    fn may_hold(&mut self, netns: &Namespace, netdev: &str) -> Result<(), Error> {
        refuse_shared_namespace(netdev, netns)
    }

    fn open(&mut self, netns: &Namespace, config: &TapConfig) -> Result<Self::Tap, Error> {
        MirrorTap::open(netns, config).map(Arc::new)
    }

    fn binding(&self, port: PortIndex, tap: &Self::Tap) -> TapBinding {
        ports::binding(port, tap)
    }

    fn bind(&mut self, taps: Vec<TapBinding>) {
        self.watcher.bind(taps);
    }

    fn move_to(&mut self, netns: &Namespace, taps: Vec<TapBinding>) -> Result<(), Error> {
        self.keeper.move_to(netns)?;
        self.watcher.move_to(netns, taps)
    }

    /// Without their receivers pvsd is ending.
    fn hand_over(&mut self, port: PortIndex, tap: Self::Tap) {
        let _ = self.exchange.send((port, Arc::clone(&tap)));
        let _ = self.news.send(News::Tap(port, tap));
    }
}
