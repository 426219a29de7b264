//! Commands as an operator types them: what `diff` and `apply --dry-run` show.

use super::label::Labels;
use super::rules::{server_options, service_option, service_options};
use crate::cli::FileNames;
use crate::command::{Command, ServiceRequest};
use pvs_sched::config::{SchedulerName, ServerConfig, ServiceConfig, ServiceKey};

/// A command that edits services or servers, as words for pvsadm; addresses and ports are numbers.
#[must_use]
pub fn command_line(command: &Command) -> String {
    let names = FileNames::default();
    let labels = Labels::new(&names, true);
    let name = |key: &ServiceKey| service_option(key, &labels);
    match command {
        Command::AddService(request) => format!("-A {}", service(request, &labels)),
        Command::EditService(request) => format!("-E {}", service(request, &labels)),
        Command::DeleteService(key) => format!("-D {}", name(key)),
        Command::AddServer { service, server } => {
            format!("-a {} -r {}", name(service), full(server, &labels))
        }
        Command::EditServer { service, server } => {
            format!("-e {} -r {}", name(service), full(server, &labels))
        }
        Command::DeleteServer { service, server } => {
            let server = labels.label(server.address, server.port, None);
            format!("-d {} -r {server}", name(service))
        }
        // Nothing else is shown as a change.
        other => format!("{other:?}"),
    }
}

fn service(request: &ServiceRequest, labels: &Labels<'_>) -> String {
    let name = service_option(&request.key, labels);
    let Some(scheduler) = SchedulerName::named(&request.scheduler) else {
        return format!("{name} -s {}", request.scheduler);
    };
    let config = ServiceConfig {
        key: request.key,
        scheduler,
        flags: request.flags,
        persistence: request.persistence,
        engine: request.engine.clone(),
    };
    format!("{name} -s {}", service_options(&config))
}

/// A server with its thresholds, which a table of rules leaves out.
fn full(server: &ServerConfig, labels: &Labels<'_>) -> String {
    let mut text = server_options(server, None, labels);
    for (option, threshold) in [
        ("-x", server.upper_threshold),
        ("-y", server.lower_threshold),
    ] {
        if threshold != 0 {
            text.push_str(&format!(" {option} {threshold}"));
        }
    }
    text
}
