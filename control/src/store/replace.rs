//! `apply`: rules as a whole in place of the running ones, by the fewest commands, or not at all.
//!
//! What stays is left alone: a server that is among both keeps its place in the list, its
//! counters and its connections. A trial on a copy comes first, so that a rule that is
//! refused has changed nothing.

use super::Store;
use crate::command::{Command, Rule, ServiceRequest};
use crate::plane::Plane;
use crate::reply::Refusal;
use pvs_sched::Service;
use pvs_sched::config::{ServerConfig, ServerKey, ServiceConfig, ServiceKey};
use std::collections::HashSet;

impl Store {
    /// Makes these rules the running ones, unless it is only to be told how;
    /// the commands that do it.
    pub(super) fn replace(
        &mut self,
        rules: &[Rule],
        dry_run: bool,
        plane: &dyn Plane,
    ) -> Result<Vec<Command>, Refusal> {
        let changes = self.changes(rules)?;
        let mut trial = Self {
            trial: true,
            ..self.clone()
        };
        for command in &changes {
            if let Err(refusal) = trial.apply(command, plane) {
                let command = Box::new(command.clone());
                let refusal = Box::new(refusal);
                return Err(Refusal::Rule { command, refusal });
            }
        }
        if !dry_run {
            for command in &changes {
                self.apply(command, plane)?;
            }
        }
        Ok(changes)
    }

    /// The commands that lead from the running rules to these.
    fn changes(&self, rules: &[Rule]) -> Result<Vec<Command>, Refusal> {
        let mut wanted = HashSet::new();
        if !rules.iter().all(|rule| wanted.insert(rule.service.key)) {
            return Err(Refusal::ServiceExists);
        }
        let running = self.next.services().map(|service| service.config.key);
        let mut changes: Vec<Command> = running
            .filter(|key| !wanted.contains(key))
            .map(Command::DeleteService)
            .collect();
        for rule in rules {
            let service = self.service(&rule.service.key);
            match service {
                Some(service) if says(&rule.service, &service.config) => {}
                Some(_) => changes.push(Command::EditService(rule.service.clone())),
                None => changes.push(Command::AddService(rule.service.clone())),
            }
            servers(rule, service, &mut changes)?;
        }
        Ok(changes)
    }
}

/// The commands that give a service its servers.
fn servers(
    rule: &Rule,
    service: Option<&Service>,
    changes: &mut Vec<Command>,
) -> Result<(), Refusal> {
    let key: ServiceKey = rule.service.key;
    let mut wanted: HashSet<ServerKey> = HashSet::new();
    if !rule.servers.iter().all(|server| wanted.insert(server.key)) {
        return Err(Refusal::ServerExists);
    }
    let running = service.map(Service::servers).unwrap_or_default();
    let gone = running.iter().filter(|s| !wanted.contains(&s.config.key));
    changes.extend(gone.map(|server| Command::DeleteServer {
        service: key,
        server: server.config.key,
    }));
    for server in &rule.servers {
        let (service_key, server): (ServiceKey, ServerConfig) = (key, *server);
        match service.and_then(|service| service.server(server.key)) {
            Some(running) if running.config == server => {}
            Some(_) => changes.push(Command::EditServer {
                service: service_key,
                server,
            }),
            None => changes.push(Command::AddServer {
                service: service_key,
                server,
            }),
        }
    }
    Ok(())
}

/// The rule says of the service what is running.
fn says(request: &ServiceRequest, config: &ServiceConfig) -> bool {
    let ServiceRequest {
        key: _,
        scheduler,
        flags,
        persistence,
        engine,
    } = request;
    scheduler == config.scheduler.as_str()
        && (flags, persistence, engine) == (&config.flags, &config.persistence, &config.engine)
}
