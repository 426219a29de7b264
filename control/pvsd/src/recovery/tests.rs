//! Recovery over a world that is written down.

use super::*;
use std::io;

/// Namespaces are numbers, taps their indices.
#[derive(Default)]
struct World {
    /// Where the name leads.
    name: Option<u32>,
    /// Names of taps that cannot be opened.
    refused: Vec<&'static str>,
    next_index: u32,
    /// What was done, in words.
    done: Vec<String>,
}

impl World {
    fn done(&mut self) -> String {
        std::mem::take(&mut self.done).join(", ")
    }
}

fn names(taps: &[TapBinding]) -> String {
    let words = taps
        .iter()
        .map(|tap| format!(" {}#{}", tap.port.0, tap.ifindex));
    words.collect()
}

impl Hands for World {
    type Netns = u32;
    type Tap = u32;

    fn named(&mut self, netns: &u32) -> Named<u32> {
        match self.name {
            None => Named::Nothing,
            Some(found) if found == *netns => Named::Same,
            Some(found) => Named::Other(found),
        }
    }

    fn may_hold(&mut self, _: &u32, _: &str) -> Result<(), Error> {
        Ok(())
    }

    fn open(&mut self, netns: &u32, config: &TapConfig) -> Result<u32, Error> {
        if self.refused.contains(&config.name.as_str()) {
            return Err(Error::Tap {
                name: config.name.clone(),
                action: "attach to it",
                source: io::ErrorKind::PermissionDenied.into(),
            });
        }
        self.next_index += 1;
        self.done.push(format!("open {} in {netns}", config.name));
        Ok(self.next_index)
    }

    fn binding(&self, port: PortIndex, tap: &u32) -> TapBinding {
        TapBinding {
            ifname: String::new(),
            ifindex: *tap,
            port,
        }
    }

    fn bind(&mut self, taps: Vec<TapBinding>) {
        self.done.push(format!("bind{}", names(&taps)));
    }

    fn move_to(&mut self, netns: &u32, taps: Vec<TapBinding>) -> Result<(), Error> {
        self.done.push(format!("move to {netns}{}", names(&taps)));
        Ok(())
    }

    fn hand_over(&mut self, port: PortIndex, tap: u32) {
        self.done.push(format!("hand over {}#{tap}", port.0));
    }
}

/// Three taps in namespace 7, whose indices are 91 to 93.
fn mirrors() -> Mirrors<u32> {
    let mirror = |at: u16| Mirror {
        port: PortIndex(at),
        config: TapConfig {
            name: format!("pvs{at}"),
            mac: Default::default(),
            mtu: 1500,
        },
        netdev: None,
        bound: Some(TapBinding {
            ifname: format!("pvs{at}"),
            ifindex: 91 + u32::from(at),
            port: PortIndex(at),
        }),
    };
    Mirrors::of(7, (0..3).map(mirror).collect())
}

fn tap_gone(name: &str) -> Error {
    Error::TapGone {
        name: name.to_owned(),
    }
}

fn name_gone() -> Error {
    Error::NamespaceGone {
        name: "lb".to_owned(),
    }
}

/// The time of a turn, a second each.
fn turns() -> impl Iterator<Item = Instant> {
    let start = Instant::now();
    (1..).map(move |turn| start + AGAIN * turn)
}

#[test]
fn a_lost_tap_is_made_again_once() {
    let (mut mirrors, mut world, mut at) = (mirrors(), World::default(), turns());
    mirrors.tend(&mut world, at.next().unwrap());
    assert_eq!(world.done(), "", "all is well");
    assert!(mirrors.hear(&tap_gone("pvs1")));
    mirrors.tend(&mut world, at.next().unwrap());
    assert_eq!(
        world.done(),
        "open pvs1 in 7, hand over 1#1, bind 0#91 1#1 2#93"
    );
    mirrors.tend(&mut world, at.next().unwrap());
    assert_eq!(world.done(), "");
    assert!(!mirrors.hear(&Error::NoNft));
}

#[test]
fn what_could_be_made_is_watched_though_another_failed() {
    let (mut mirrors, mut world, mut at) = (mirrors(), World::default(), turns());
    for name in ["pvs0", "pvs1", "pvs2"] {
        mirrors.hear(&tap_gone(name));
    }
    world.refused = vec!["pvs1"];
    mirrors.tend(&mut world, at.next().unwrap());
    assert_eq!(
        world.done(),
        "open pvs0 in 7, hand over 0#1, open pvs2 in 7, hand over 2#2, bind 0#1 2#2"
    );
    let trouble = mirrors.trouble().unwrap();
    assert!(
        trouble.starts_with("tap pvs1: cannot attach to it"),
        "{trouble}"
    );
    // Nothing is bound, and so listed, while it goes on failing.
    mirrors.tend(&mut world, at.next().unwrap());
    assert_eq!(world.done(), "");
    world.refused.clear();
    let now = at.next().unwrap();
    mirrors.tend(&mut world, now);
    assert_eq!(
        world.done(),
        "open pvs1 in 7, hand over 1#3, bind 0#1 1#3 2#2"
    );
    assert_eq!(mirrors.trouble(), None);
}

#[test]
fn a_namespace_without_its_name_is_nothing_to_do() {
    let (mut mirrors, mut world, mut at) = (mirrors(), World::default(), turns());
    assert!(mirrors.hear(&name_gone()));
    for now in at.by_ref().take(5) {
        mirrors.tend(&mut world, now);
        assert_eq!(world.done(), "");
        assert!(!mirrors.is_named());
    }
    // A tap is made again inside all the same.
    mirrors.hear(&tap_gone("pvs2"));
    mirrors.tend(&mut world, at.next().unwrap());
    assert_eq!(
        world.done(),
        "open pvs2 in 7, hand over 2#1, bind 0#91 1#92 2#1"
    );
    // The same namespace under its name again, as by a mount.
    world.name = Some(7);
    mirrors.tend(&mut world, at.next().unwrap());
    assert!(mirrors.is_named());
    assert_eq!(world.done(), "");
}

#[test]
fn the_next_namespace_of_that_name_is_moved_to_with_all_taps() {
    let (mut mirrors, mut world, mut at) = (mirrors(), World::default(), turns());
    mirrors.hear(&name_gone());
    mirrors.hear(&tap_gone("pvs0"));
    (world.name, world.refused) = (Some(8), vec!["pvs2"]);
    mirrors.tend(&mut world, at.next().unwrap());
    assert_eq!(world.done(), "open pvs0 in 8, open pvs1 in 8");
    assert!(mirrors.trouble().is_some() && !mirrors.is_named());
    world.refused.clear();
    mirrors.tend(&mut world, at.next().unwrap());
    assert_eq!(
        world.done(),
        "open pvs0 in 8, open pvs1 in 8, open pvs2 in 8, move to 8 0#3 1#4 2#5, \
         hand over 0#3, hand over 1#4, hand over 2#5"
    );
    assert_eq!((*mirrors.namespace(), mirrors.trouble()), (8, None));
    mirrors.tend(&mut world, at.next().unwrap());
    assert_eq!(world.done(), "");
}

#[test]
fn a_failure_is_tried_again_after_a_second() {
    let (mut mirrors, mut world) = (mirrors(), World::default());
    mirrors.hear(&tap_gone("pvs0"));
    world.refused = vec!["pvs0"];
    let now = Instant::now();
    mirrors.tend(&mut world, now);
    world.refused.clear();
    mirrors.tend(&mut world, now + AGAIN / 2);
    assert_eq!(world.done(), "");
    mirrors.tend(&mut world, now + AGAIN);
    assert!(world.done().starts_with("open pvs0"));
}
