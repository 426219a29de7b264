//! The mirror taps and their namespace, when somebody deletes them under pvsd.
//!
//! A deleted tap is made again, with what it has from its port; the operator's addresses and routes
//! are gone. A namespace whose name was deleted lives on while pvsd is in it; when there is one of
//! that name again, pvsd moves there. Workers forward all the while by what is known.
//!
//! What is to be done is decided here, and done by [`Hands`]; those that reach
//! Linux are in `hands.rs`.

use crate::ports::OpenPort;
use pvs_dataplane::fib::PortIndex;
use pvs_linux::{Error, Namespace, TapBinding, TapConfig};
use std::time::{Duration, Instant};

/// How often something that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Where the name of a namespace leads.
pub enum Named<N> {
    /// Nowhere.
    Nothing,
    /// To the one that pvsd is in.
    Same,
    /// To another one.
    Other(N),
}

/// What recovery does to the world.
pub trait Hands {
    /// A namespace.
    type Netns;
    /// An attached tap.
    type Tap;

    /// Where the namespace's name leads.
    fn named(&mut self, netns: &Self::Netns) -> Named<Self::Netns>;

    /// Makes sure that the mirrors may be in a namespace, as far as the netdev
    /// behind a port is concerned.
    fn may_hold(&mut self, netns: &Self::Netns, netdev: &str) -> Result<(), Error>;

    /// Attaches to a tap, which is made if there is none.
    fn open(&mut self, netns: &Self::Netns, config: &TapConfig) -> Result<Self::Tap, Error>;

    /// A tap as the watcher wants it.
    fn binding(&self, port: PortIndex, tap: &Self::Tap) -> TapBinding;

    /// Has these taps watched.
    fn bind(&mut self, taps: Vec<TapBinding>);

    /// Has another namespace watched, with these taps.
    fn move_to(&mut self, netns: &Self::Netns, taps: Vec<TapBinding>) -> Result<(), Error>;

    /// Gives a port its new tap.
    fn hand_over(&mut self, port: PortIndex, tap: Self::Tap);
}

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
pub struct Mirrors<N = Namespace> {
    namespace: N,
    named: bool,
    mirrors: Vec<Mirror>,
    due: Instant,
    /// What could not be done, so that it is told once.
    trouble: Option<String>,
}

impl Mirrors {
    /// Of open ports, with the netdevs behind them.
    pub fn new(namespace: Namespace, ports: &[OpenPort], netdevs: Vec<Option<String>>) -> Self {
        let numbered = ports.iter().zip(netdevs).zip((0..).map(PortIndex));
        let mirror = |((open, netdev), port): ((&OpenPort, _), _)| Mirror {
            port,
            config: open.tap_config(),
            netdev,
            bound: Some(crate::ports::binding(port, &open.tap())),
        };
        Self::of(namespace, numbered.map(mirror).collect())
    }
}

impl<N> Mirrors<N> {
    fn of(namespace: N, mirrors: Vec<Mirror>) -> Self {
        Self {
            namespace,
            named: true,
            mirrors,
            due: Instant::now(),
            trouble: None,
        }
    }

    /// The namespace that they are in.
    pub fn namespace(&self) -> &N {
        &self.namespace
    }

    /// The taps that are there.
    pub fn bindings(&self) -> Vec<TapBinding> {
        self.mirrors
            .iter()
            .filter_map(|m| m.bound.clone())
            .collect()
    }

    /// True while the namespace has its name, by which the operator gets at it.
    pub fn is_named(&self) -> bool {
        self.named
    }

    /// Why something is not made good yet.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
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
    pub fn tend(&mut self, hands: &mut impl Hands<Netns = N>, now: Instant) {
        let whole = self.named && self.mirrors.iter().all(|m| m.bound.is_some());
        if whole || now < self.due {
            return;
        }
        self.due = now + AGAIN;
        let trouble = self.mend(hands).err().map(|error| error.to_string());
        if let Some(text) = &trouble
            && self.trouble != trouble
        {
            tracing::warn!("{text}");
        }
        self.trouble = trouble;
    }

    fn mend(&mut self, hands: &mut impl Hands<Netns = N>) -> Result<(), Error> {
        if !self.named {
            match hands.named(&self.namespace) {
                Named::Other(next) => return self.move_to(next, hands),
                Named::Same => {
                    self.named = true;
                    tracing::info!("the network namespace has its name again");
                }
                Named::Nothing => (),
            }
        }
        self.make_again(hands)
    }

    fn move_to(&mut self, next: N, hands: &mut impl Hands<Netns = N>) -> Result<(), Error> {
        for netdev in self.mirrors.iter().filter_map(|m| m.netdev.as_deref()) {
            hands.may_hold(&next, netdev)?;
        }
        let mut opened = Vec::new();
        for mirror in &self.mirrors {
            let tap = hands.open(&next, &mirror.config)?;
            opened.push((hands.binding(mirror.port, &tap), tap));
        }
        let bindings = opened.iter().map(|(binding, _)| binding.clone());
        hands.move_to(&next, bindings.collect())?;
        for (mirror, (binding, tap)) in self.mirrors.iter_mut().zip(opened) {
            mirror.bound = Some(binding);
            hands.hand_over(mirror.port, tap);
        }
        self.namespace = next;
        self.named = true;
        tracing::info!("moved to the new network namespace of that name");
        Ok(())
    }

    /// Each tap that is lost, whatever becomes of the others; the first failure is told.
    fn make_again(&mut self, hands: &mut impl Hands<Netns = N>) -> Result<(), Error> {
        let (mut made, mut outcome) = (false, Ok(()));
        for mirror in self.mirrors.iter_mut().filter(|m| m.bound.is_none()) {
            match hands.open(&self.namespace, &mirror.config) {
                Ok(tap) => {
                    mirror.bound = Some(hands.binding(mirror.port, &tap));
                    hands.hand_over(mirror.port, tap);
                    tracing::info!("tap {} is there again", mirror.config.name);
                    made = true;
                }
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        if made {
            hands.bind(self.bindings());
        }
        outcome
    }
}

#[cfg(test)]
mod tests;
