//! `-L -c`: connections, a line each, in the order in which the workers tell them.

use super::Format;
use super::label::Labels;
use crate::reply::ConnectionView;
use pvs_sched::config::Transport;

/// The two lines above the connections.
#[must_use]
pub fn connections_heading(format: Format) -> String {
    let (state, source, target) = ("state", "source", "virtual");
    let fixed =
        format!("IPVS connection entries\npro expire {state:<11} {source:<18} {target:<18}");
    if format.engines {
        format!("{fixed} {:<18} {:<16} pe_data\n", "destination", "pe name")
    } else {
        format!("{fixed} destination\n")
    }
}

/// A connection's line.
#[must_use]
pub fn connection(view: &ConnectionView, format: Format, labels: &Labels<'_>) -> String {
    let transport = match view.protocol.as_str() {
        "TCP" => Some(Transport::Tcp),
        "UDP" => Some(Transport::Udp),
        "SCTP" => Some(Transport::Sctp),
        _ => None,
    };
    let label = |end: std::net::SocketAddr| labels.label(end.ip(), end.port(), transport);
    let (client, target, server) = (label(view.client), label(view.virtual_), label(view.server));
    let (protocol, state) = (&view.protocol, &view.state);
    let expires = format!(
        "{:02}:{:02}",
        view.expires_secs / 60,
        view.expires_secs % 60
    );
    let fixed = format!("{protocol:<3} {expires:<6} {state:<11} {client:<18} {target:<18}");
    match &view.engine {
        Some((engine, data)) if format.engines => {
            format!("{fixed} {server:<18} {engine:<16} {data}\n")
        }
        _ => format!("{fixed} {server}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::FileNames;
    use pvs_sched::config::Method;

    fn view(protocol: &str, state: &str, ends: [&str; 3]) -> ConnectionView {
        let [client, virtual_, server] = ends.map(|e| e.parse().unwrap());
        let (protocol, state) = (protocol.to_owned(), state.to_owned());
        let method = Method::Route;
        ConnectionView {
            protocol,
            expires_secs: 899,
            state,
            client,
            virtual_,
            server,
            method,
            engine: None,
        }
    }

    #[test]
    fn lines_have_the_recorded_widths() {
        let names = FileNames::parse("", "http 80/tcp\n");
        let ends = ["10.0.0.1:4001", "10.0.0.100:80", "10.0.0.11:80"];
        let tcp = view("TCP", "SYN_RECV", ends);
        assert_eq!(
            connection(&tcp, Format::default(), &Labels::new(&names, true)),
            "TCP 14:59  SYN_RECV    10.0.0.1:4001      10.0.0.100:80      10.0.0.11:80\n"
        );
        assert_eq!(
            connection(&tcp, Format::default(), &Labels::new(&names, false)),
            "TCP 14:59  SYN_RECV    10.0.0.1:4001      10.0.0.100:http    10.0.0.11:http\n"
        );
        let template = view("IP", "NONE", ["10.0.0.1:0", "0.0.0.1:0", "10.0.0.11:0"]);
        assert_eq!(
            connection(&template, Format::default(), &Labels::new(&names, true)),
            "IP  14:59  NONE        10.0.0.1:0         0.0.0.1:0          10.0.0.11:0\n"
        );
        let call = ConnectionView {
            engine: Some(("sip".to_owned(), "a84b@pc33".to_owned())),
            ..view(
                "UDP",
                "NONE",
                ["10.0.0.1:0", "10.0.0.100:5060", "10.0.0.11:5060"],
            )
        };
        let plain = "UDP 14:59  NONE        10.0.0.1:0         10.0.0.100:5060    10.0.0.11:5060";
        let labels = Labels::new(&names, true);
        assert_eq!(
            connection(&call, Format::default(), &labels),
            format!("{plain}\n")
        );
        let engines = Format {
            engines: true,
            ..Format::default()
        };
        assert_eq!(
            connection(&call, engines, &labels),
            format!("{plain}     sip              a84b@pc33\n")
        );
    }
}
