//! The mirror taps and their namespace, when somebody deletes them under pvsd.
//!
//! A deleted tap is made again, with what it has from its port; the operator's addresses and routes are gone.
//! A namespace whose name was deleted lives on while pvsd is in it; when there is one of that name again,
//! pvsd moves there. Workers forward all the while by what is known.

use crate::ports::{OpenPort, binding};
use crate::watch::News;
use crossbeam::channel::Sender;
use pvs_dataplane::fib::PortIndex;
use pvs_linux::{Error, MirrorTap, Namespace, NeighbourKeeper, NewTap, TapBinding, TapConfig};
use pvs_linux::{Watcher, refuse_shared_namespace};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// How often something that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// A port's mirror.
struct Mirror {
    port: PortIndex,
    config: TapConfig,
    /// A kernel interface behind the port, which must be in another namespace.
    netdev: Option<String>,
    /// `None` after it was deleted.
    bound: Option<TapBinding>,
}

/// The taps of all ports.
pub struct Mirrors {
    namespace: Namespace,
    named: bool,
    mirrors: Vec<Mirror>,
    exchange: mpsc::Sender<NewTap>,
    news: Sender<News>,
    due: Instant,
    /// What could not be done, so that it is told once.
    told: Option<String>,
}

impl Mirrors {
    /// Of open ports, with the netdevs behind them; who is told of new taps.
    pub fn new(
        namespace: Namespace,
        ports: &[OpenPort],
        netdevs: Vec<Option<String>>,
        exchange: mpsc::Sender<NewTap>,
        news: Sender<News>,
    ) -> Self {
        let numbered = ports.iter().zip(netdevs).zip((0..).map(PortIndex));
        let mirror = |((open, netdev), port): ((&OpenPort, _), _)| Mirror {
            port,
            config: open.tap_config(),
            netdev,
            bound: Some(binding(port, &open.tap())),
        };
        Self {
            namespace,
            named: true,
            mirrors: numbered.map(mirror).collect(),
            exchange,
            news,
            due: Instant::now(),
            told: None,
        }
    }

    /// The namespace that they are in.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The taps that are there.
    pub fn bindings(&self) -> Vec<TapBinding> {
        self.mirrors
            .iter()
            .filter_map(|m| m.bound.clone())
            .collect()
    }

    /// Hears what the watcher has found; false if it is nothing of theirs.
    pub fn hear(&mut self, error: &Error) -> bool {
        match error {
            Error::TapGone { name } => {
                let lost = self.mirrors.iter_mut().filter(|m| m.config.name == *name);
                lost.for_each(|mirror| mirror.bound = None);
                tracing::error!(
                    "{error}: it is made again; the addresses and routes that it had are gone"
                );
            }
            Error::NamespaceGone { .. } => {
                self.named = false;
                tracing::error!("{error}");
            }
            _ => return false,
        }
        self.due = Instant::now();
        true
    }

    /// Makes good what is lost, as far as it can be; to be called at every turn.
    pub fn tend(&mut self, watcher: &mut Watcher, keeper: &mut NeighbourKeeper) {
        let whole = self.named && self.mirrors.iter().all(|m| m.bound.is_some());
        if whole || Instant::now() < self.due {
            return;
        }
        self.due = Instant::now() + AGAIN;
        let done = match self.successor() {
            Some(next) => self.move_to(next, watcher, keeper),
            None => self.make_again(watcher),
        };
        match done {
            Ok(()) => self.told = None,
            Err(error) => {
                let text = error.to_string();
                if self.told.as_ref() != Some(&text) {
                    tracing::warn!("{text}");
                }
                self.told = Some(text);
            }
        }
    }

    /// The namespace that has the name now, if it is another.
    fn successor(&self) -> Option<Namespace> {
        if self.named {
            return None;
        }
        let next = Namespace::open(self.namespace.name()).ok()?;
        (!next.is_same(&self.namespace)).then_some(next)
    }

    fn move_to(
        &mut self,
        next: Namespace,
        watcher: &mut Watcher,
        keeper: &mut NeighbourKeeper,
    ) -> Result<(), Error> {
        for netdev in self.mirrors.iter().filter_map(|m| m.netdev.as_deref()) {
            refuse_shared_namespace(netdev, &next)?;
        }
        let opened: Vec<_> = self
            .mirrors
            .iter()
            .map(|m| MirrorTap::open(&next, &m.config).map(Arc::new))
            .collect::<Result<_, _>>()?;
        let bindings = self.mirrors.iter().zip(&opened);
        let bindings = bindings.map(|(m, tap)| binding(m.port, tap)).collect();
        keeper.move_to(&next)?;
        watcher.move_to(&next, bindings)?;
        for (mirror, tap) in self.mirrors.iter_mut().zip(opened) {
            mirror.hand_over(tap, &self.exchange, &self.news);
        }
        tracing::info!("moved to the new network namespace {}", next.name());
        self.namespace = next;
        self.named = true;
        Ok(())
    }

    fn make_again(&mut self, watcher: &mut Watcher) -> Result<(), Error> {
        for mirror in self.mirrors.iter_mut().filter(|m| m.bound.is_none()) {
            let tap = Arc::new(MirrorTap::open(&self.namespace, &mirror.config)?);
            mirror.hand_over(tap, &self.exchange, &self.news);
            tracing::info!("tap {} is there again", mirror.config.name);
        }
        watcher.bind(self.bindings());
        Ok(())
    }
}

impl Mirror {
    /// Without their receivers pvsd is ending.
    fn hand_over(
        &mut self,
        tap: Arc<MirrorTap>,
        exchange: &mpsc::Sender<NewTap>,
        news: &Sender<News>,
    ) {
        self.bound = Some(binding(self.port, &tap));
        let _ = exchange.send((self.port, Arc::clone(&tap)));
        let _ = news.send(News::Tap(self.port, tap));
    }
}
