//! What is not compared because the recordings' README says that it is not
//! the same at each recording.

use std::fmt;

/// A reason not to compare a field, or a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mask {
    /// The identification of an IPv4 packet that the director makes, and with
    /// it the header's checksum.
    Identification,
    /// The flow label of an ICMPv6 message that the director makes.
    FlowLabel,
    /// The times in a timestamp reply, and with them its checksum.
    Times,
    /// The order of connections in a listing, and two seconds of the time that each has left.
    ConnectionOrder,
    /// Statistics right after traffic.
    Figures,
    /// Rates.
    Rates,
    /// Where twos led a connection, and what follows from it.
    RandomPick,
    /// The identification of an outer IPv6 packet's fragments.
    FragmentIdentification,
    /// The source port of GUE.
    GueSourcePort,
    /// A checksum of GUE or GRE that was left to the network card: what it would
    /// have become is compared.
    Unfinished,
}

impl Mask {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Identification,
        Self::FlowLabel,
        Self::Times,
        Self::ConnectionOrder,
        Self::Figures,
        Self::Rates,
        Self::RandomPick,
        Self::FragmentIdentification,
        Self::GueSourcePort,
        Self::Unfinished,
    ];

    /// What it is called in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identification => "identification",
            Self::FlowLabel => "flow label",
            Self::Times => "times",
            Self::ConnectionOrder => "order of connections",
            Self::Figures => "figures right after traffic",
            Self::Rates => "rates",
            Self::RandomPick => "random pick",
            Self::FragmentIdentification => "identification of IPv6 fragments",
            Self::GueSourcePort => "source port of GUE",
            Self::Unfinished => "unfinished checksum",
        }
    }

    /// The sentence of data/README.md or data/packets/README.md that allows it.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Identification => {
                "| IPv4 packets made by the director: ICMP errors (`by` ipvs or stack), echo and timestamp \
                 replies, outer headers WITHOUT DF (ipip, GUE, GRE) and their fragments | 18-19 and 24-25 | \
                 IP ID and, with it, the header checksum."
            }
            Self::FlowLabel => "| ICMPv6 made by the director | 15-17 | flow label",
            Self::Times => {
                "| ICMP timestamp reply (14/0) | 36-37, 46-53 | receive and transmit time (ms since midnight \
                 UTC), ICMP checksum |"
            }
            Self::ConnectionOrder => {
                "`-c` listings: the two heading lines exactly; the other lines as a set, each without its \
                 `expire` column (or with it to within 2 s: see the sleeps before it)."
            }
            Self::Figures => {
                "`--stats` right after traffic: everything but the five numbers of each line."
            }
            Self::Rates => "`--rate`: everything but the five numbers.",
            Self::RandomPick => {
                "`twos` is random: only its distribution and its exclusions can be compared."
            }
            Self::FragmentIdentification => {
                "the outer packet is fragmented; the identification in its fragment headers (58-61) is random."
            }
            Self::GueSourcePort => {
                "GUE source port: compare only that it is constant for a flow and not 0"
            }
            Self::Unfinished => {
                "So: for these scenarios ignore the captured value and require a correct checksum, or accept \
                 either."
            }
        }
    }
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text with one blank between words.
#[cfg(test)]
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mask_is_allowed_by_a_sentence() {
        let pages = [
            include_str!("../../data/README.md"),
            include_str!("../../data/packets/README.md"),
        ]
        .map(one_line);
        for mask in Mask::ALL {
            let allows = |page: &String| page.contains(mask.sentence());
            assert!(pages.iter().any(allows), "{mask}");
        }
    }
}
