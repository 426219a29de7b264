//! One client of the control server: frames in, frames out, long answers in parts.

use crate::clients::Place;
use crate::command::Command;
use crate::frame::{FrameError, FrameReader, Request, Response, VERSION, decode, encode};
use crate::limits::{PAGE_ENTRIES, WRITE_TIME_MAX};
use crate::plane::{Cursor, Lag};
use crate::reply::{Outcome, Refusal, ServiceView};
use crate::server::{Answer, Job, Page};
use crate::status::StatusView;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Sender, sync_channel};

/// How much of a bad client's input is read after it was answered, so that it gets the answer.
const DRAIN_BYTES_MAX: u64 = 64 << 20;

/// Answers a client's requests until it ends, falls silent or sends what is not understood.
pub(crate) fn serve(stream: UnixStream, jobs: &Sender<Job>, place: &Place) {
    let ready = stream.set_nonblocking(false).is_ok()
        && stream.set_write_timeout(Some(WRITE_TIME_MAX)).is_ok();
    if !ready {
        return;
    }
    let mut reader = FrameReader::new(stream);
    loop {
        place.listen();
        let frame = reader.next_frame();
        place.attend();
        let request = match frame {
            Ok(None) => return,
            Ok(Some(bytes)) => decode::<Request>(&bytes),
            Err(error) => Err(error),
        };
        let served = match request {
            Ok(request) => answer(reader.stream(), request.commands, jobs, place),
            Err(error) => return refuse(reader.stream(), &error, place),
        };
        if served.is_none() {
            return;
        }
    }
}

/// Says what was not understood, and ends the conversation.
fn refuse(stream: &UnixStream, error: &FrameError, place: &Place) {
    place.listen();
    tracing::debug!("control socket: {error}");
    let response = Response {
        version: VERSION,
        last: true,
        error: Some(error.to_string()),
        ..Response::default()
    };
    if send(stream, &response).is_some() && stream.shutdown(Shutdown::Write).is_ok() {
        let _ = std::io::copy(&mut stream.take(DRAIN_BYTES_MAX), &mut std::io::sink());
    }
}

/// Has commands carried out and sends their outcomes; `None` if the conversation is over.
fn answer(
    stream: &UnixStream,
    commands: Vec<Command>,
    jobs: &Sender<Job>,
    place: &Place,
) -> Option<()> {
    let (sender, receiver) = sync_channel(1);
    jobs.send(Job::Commands {
        commands,
        answer: sender,
    })
    .ok()?;
    let Answer { outcomes, warning } = receiver.recv().ok()?;
    place.reply();
    let mut batch = Vec::new();
    for outcome in outcomes {
        match outcome {
            Outcome::Services {
                table_size,
                services,
                ..
            } => {
                send_batch(stream, &mut batch)?;
                send_services(stream, table_size, services)?;
            }
            Outcome::Connections { .. } => {
                send_batch(stream, &mut batch)?;
                send_connections(stream, jobs)?;
            }
            Outcome::Status { status, .. } => {
                send_batch(stream, &mut batch)?;
                send_status(stream, *status)?;
            }
            other => batch.push(other),
        }
        if batch.len() >= PAGE_ENTRIES {
            send_batch(stream, &mut batch)?;
        }
    }
    let last = Response {
        version: VERSION,
        outcomes: batch,
        last: true,
        warning,
        ..Response::default()
    };
    send(stream, &last)
}

/// Sends the outcomes that have gathered.
fn send_batch(stream: &UnixStream, batch: &mut Vec<Outcome>) -> Option<()> {
    if batch.is_empty() {
        return Some(());
    }
    let outcomes = std::mem::take(batch);
    send(
        stream,
        &Response {
            version: VERSION,
            outcomes,
            ..Response::default()
        },
    )
}

/// Sends a status in parts of a bounded number of entries.
fn send_status(stream: &UnixStream, status: StatusView) -> Option<()> {
    let mut parts = status.into_parts(PAGE_ENTRIES).into_iter().peekable();
    while let Some(part) = parts.next() {
        let status = Box::new(part);
        let more = parts.peek().is_some();
        send_batch(stream, &mut vec![Outcome::Status { status, more }])?;
    }
    Some(())
}

/// Sends a listing of services in parts of a bounded number of servers. A service with more of them
/// is spread over parts, each with its heading.
fn send_services(stream: &UnixStream, table_size: u64, services: Vec<ServiceView>) -> Option<()> {
    let mut part = Vec::new();
    let mut entries = 0;
    let send_part = |services, more| {
        let outcomes = vec![Outcome::Services {
            table_size,
            services,
            more,
        }];
        send(
            stream,
            &Response {
                version: VERSION,
                outcomes,
                ..Response::default()
            },
        )
    };
    for mut service in services {
        loop {
            let room = PAGE_ENTRIES.saturating_sub(entries);
            let rest = (service.servers.len() > room).then(|| service.servers.split_off(room));
            entries += service.servers.len() + 1;
            let next = rest.map(|servers| ServiceView {
                servers,
                ..service.clone()
            });
            part.push(service);
            if entries >= PAGE_ENTRIES {
                send_part(std::mem::take(&mut part), true)?;
                entries = 0;
            }
            match next {
                Some(next) => service = next,
                None => break,
            }
        }
    }
    send_part(part, false)
}

/// Sends the connections page by page, asking the owner for each.
fn send_connections(stream: &UnixStream, jobs: &Sender<Job>) -> Option<()> {
    let mut from = Cursor::default();
    loop {
        let (sender, receiver) = sync_channel(1);
        jobs.send(Job::Page {
            from,
            answer: sender,
        })
        .ok()?;
        let outcome = match receiver.recv().ok()? {
            Ok(Page {
                entries,
                next: Some(next),
            }) => {
                from = next;
                Outcome::Connections {
                    entries,
                    more: true,
                }
            }
            Ok(Page {
                entries,
                next: None,
            }) => Outcome::Connections {
                entries,
                more: false,
            },
            Err(Lag { worker }) => Outcome::Refused(Refusal::Silent { worker }),
        };
        let more = matches!(outcome, Outcome::Connections { more: true, .. });
        let outcomes = vec![outcome];
        send(
            stream,
            &Response {
                version: VERSION,
                outcomes,
                ..Response::default()
            },
        )?;
        if !more {
            return Some(());
        }
    }
}

fn send(mut stream: &UnixStream, response: &Response) -> Option<()> {
    let bytes = encode(response).ok()?;
    stream.write_all(&bytes).ok()
}
