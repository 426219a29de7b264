//! `drops`: why packets were lost, the most frequent reason first.

use super::Detail;
use super::columns::Table;
use crate::status::LossView;
use serde::Serialize;

/// The losses as a table or as JSON; reasons that have never happened only if all are wanted.
#[must_use]
pub fn drops(mut losses: Vec<LossView>, detail: Detail) -> String {
    losses.retain(|loss| detail.all || loss.packets > 0);
    sort(&mut losses);
    if detail.json {
        return drops_json(&losses);
    }
    if losses.is_empty() {
        return "No packet was lost.\n".to_owned();
    }
    let mut table = Table::new(&[">Packets", "Reason", "Meaning"]);
    for loss in losses {
        table.row([loss.packets.to_string(), loss.reason, loss.sentence]);
    }
    table.text("")
}

/// The most frequent first; those that are equal by place, and then by name.
pub(super) fn sort(losses: &mut [LossView]) {
    losses.sort_by(|a, b| {
        let other = || (a.place, &a.reason).cmp(&(b.place, &b.reason));
        b.packets.cmp(&a.packets).then_with(other)
    });
}

/// The losses as a line of JSON, in this order.
fn drops_json(losses: &[LossView]) -> String {
    #[derive(Serialize)]
    struct Drops<'a> {
        drops: &'a [LossView],
    }
    super::json(&Drops { drops: losses })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::LossPlace;

    fn losses() -> Vec<LossView> {
        [
            (
                "no_server",
                LossPlace::Dropped,
                3,
                "The service has no server.",
            ),
            (
                "ip_checksum",
                LossPlace::Malformed,
                12_345_678,
                "The checksum is wrong.",
            ),
            (
                "a_tie",
                LossPlace::Malformed,
                3,
                "Last of two, for it is malformed.",
            ),
            ("never", LossPlace::Linux, 0, "Never."),
        ]
        .map(|(reason, place, packets, sentence)| LossView {
            reason: reason.into(),
            place,
            packets,
            sentence: sentence.into(),
        })
        .into()
    }

    #[test]
    fn the_most_frequent_comes_first() {
        let shown = drops(losses(), Detail::default());
        let wanted = " Packets  Reason       Meaning
12345678  ip_checksum  The checksum is wrong.
       3  no_server    The service has no server.
       3  a_tie        Last of two, for it is malformed.
";
        assert_eq!(shown, wanted);
        let all = Detail {
            all: true,
            json: false,
        };
        let never = "       0  never        Never.\n";
        assert_eq!(drops(losses(), all), format!("{wanted}{never}"));
        assert_eq!(drops(vec![], Detail::default()), "No packet was lost.\n");
    }

    #[test]
    fn json_is_one_line_with_stable_names() {
        let json = Detail {
            all: false,
            json: true,
        };
        let shown = drops(losses().split_off(2), json);
        assert_eq!(
            shown,
            "{\"drops\":[{\"reason\":\"a_tie\",\"place\":\"malformed\",\"packets\":3,\
             \"sentence\":\"Last of two, for it is malformed.\"}]}\n"
        );
        assert_eq!(drops(vec![], json), "{\"drops\":[]}\n");
    }
}
