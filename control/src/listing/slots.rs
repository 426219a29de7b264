//! `mh`: how many slots the tables of mh services have, as the options that say so, or as JSON.

use super::Detail;
use super::label::Labels;
use super::rules::service_option;
use crate::cli::FileNames;
use crate::reply::SlotsView;
use serde::Serialize;

/// A line for each service, or one JSON value.
#[must_use]
pub fn slots(views: &[SlotsView], detail: Detail) -> String {
    if detail.json {
        #[derive(Serialize)]
        struct Slots<'a> {
            mh: &'a [SlotsView],
        }
        return super::json(&Slots { mh: views });
    }
    if views.is_empty() {
        return "There is no service of scheduler mh.\n".to_owned();
    }
    let names = FileNames::default();
    let labels = Labels::new(&names, true);
    let line = |view: &SlotsView| {
        let service = service_option(&view.service, &labels);
        let absent = match view.running {
            true => "",
            false => "  # no mh service has this name now",
        };
        format!("{service} --slots {}{absent}\n", view.slots)
    };
    views.iter().map(line).collect()
}
