//! Environment variables: which of them are settings, and where their values are.

use std::io::Read;
use std::net::IpAddr;

/// Every setting's variable begins with this.
pub(super) const PREFIX: &str = "RINGBACK_";
/// Variables that are not settings of `serve`: client commands and scripts around the program read them.
const OTHERS: &[&str] = &[
    "RINGBACK_BIN",
    "RINGBACK_KEY",
    "RINGBACK_ENGINE",
    "RINGBACK_ORGANIZATION",
    "RINGBACK_NEW_MASTER_KEY",
    "RINGBACK_REQUIRE_BROWSER",
    "RINGBACK_REQUIRE_FAULTS",
    "RINGBACK_REQUIRE_POSTGRES",
    "RINGBACK_SCREENSHOTS",
    "RINGBACK_UPDATE_DOCUMENTS",
    "RINGBACK_UPDATE_OPENAPI",
    "RINGBACK_VERSION",
];
/// A variable with this suffix names a file that contains the value.
const FILE_SUFFIX: &str = "_FILE";
/// The settings that can come from a file: those that contain a secret.
const FROM_FILE: &[&str] = &[
    "RINGBACK_ADMIN_KEY",
    "RINGBACK_DATABASE_URL",
    "RINGBACK_EGRESS_PROXY",
    "RINGBACK_MASTER_KEY",
    "RINGBACK_OTLP_HEADERS",
    "RINGBACK_SVIX_JWT_SECRET",
];
/// A larger file is refused as a mistake, because it would be read into memory as a whole.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Ringback's variables, sorted. An empty one counts as not set: `RINGBACK_LOG=${LOG:-}` in a compose file.
pub(super) fn ours(variables: impl IntoIterator<Item = (String, String)>) -> Vec<(String, String)> {
    let is_ours = |(name, value): &(String, String)| {
        name.starts_with(PREFIX)
            && !value.trim().is_empty()
            && !OTHERS.contains(&name.as_str())
            && !is_service_link(name, value)
    };
    let mut ours: Vec<(String, String)> = variables.into_iter().filter(is_ours).collect();
    ours.sort();
    ours
}

/// The setting's variable, for a variable that names a file.
pub(super) fn of_file(name: &str) -> Option<&'static str> {
    let setting = name.strip_suffix(FILE_SUFFIX)?;
    FROM_FILE.iter().copied().find(|known| *known == setting)
}

/// The variables that name a file, for suggestions.
pub(super) fn file_variables() -> impl Iterator<Item = String> {
    FROM_FILE.iter().map(|name| format!("{name}{FILE_SUFFIX}"))
}

/// The content of such a file, without white space around it.
pub(super) fn read(path: &str) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("the file `{path}` can't be read: {error}");
    let path = path.trim();
    let mut bytes = Vec::new();
    // not as long as the file says it is: a device, or a pipe from another program, has no length
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let read = file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if read as u64 > MAX_FILE_BYTES {
        return Err(format!("the file `{path}` is larger than {MAX_FILE_BYTES} bytes: is it the right one?"));
    }
    let text =
        String::from_utf8(bytes).map_err(|_| format!("the file `{path}` can't be read: it is not UTF-8"))?;
    // some editors begin a file with a byte order mark
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Err(format!("the file `{path}` is empty"));
    }
    Ok(text.to_owned())
}

/// Whether Kubernetes made this variable. It gives every pod variables for each service in its namespace, for example
/// `RINGBACK_METRICS_PORT=tcp://10.0.0.1:9090` for `ringback-metrics`. The value must have that form too, so that a
/// mistyped setting is still refused.
fn is_service_link(name: &str, value: &str) -> bool {
    let value = value.trim();
    let is_port = || value.parse::<u16>().is_ok();
    let is_address = || value.parse::<IpAddr>().is_ok();
    let is_protocol = || ["tcp", "udp", "sctp"].contains(&value);
    let is_url = || {
        let rest = ["tcp://", "udp://", "sctp://"].iter().find_map(|scheme| value.strip_prefix(scheme));
        rest.and_then(|rest| rest.rsplit_once(':')).is_some_and(|(_, port)| port.parse::<u16>().is_ok())
    };
    if name.ends_with("_SERVICE_HOST") {
        return is_address();
    }
    if (name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_")) && is_port() {
        return true;
    }
    if name.ends_with("_PORT") && is_url() {
        return true;
    }
    // <service>_PORT_9090_TCP, alone or followed by _PROTO, _PORT or _ADDR
    let Some((_, port_and_protocol)) = name.rsplit_once("_PORT_") else { return false };
    let mut parts = port_and_protocol.split('_');
    let is_of_port = parts.next().is_some_and(|port| port.parse::<u16>().is_ok())
        && parts.next().is_some_and(|protocol| ["TCP", "UDP", "SCTP"].contains(&protocol));
    is_of_port
        && match (parts.next(), parts.next()) {
            (None, _) => is_url(),
            (Some("PROTO"), None) => is_protocol(),
            (Some("PORT"), None) => is_port(),
            (Some("ADDR"), None) => is_address(),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// What a pod gets for a service with one port, called `http`.
    fn injected(service: &str, address: &str, port: u16) -> Vec<(String, String)> {
        let url_address = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        let url = format!("tcp://{url_address}:{port}");
        pairs(&[
            (&format!("{service}_SERVICE_HOST"), address),
            (&format!("{service}_SERVICE_PORT"), &port.to_string()),
            (&format!("{service}_SERVICE_PORT_HTTP"), &port.to_string()),
            (&format!("{service}_PORT"), &url),
            (&format!("{service}_PORT_{port}_TCP"), &url),
            (&format!("{service}_PORT_{port}_TCP_PROTO"), "tcp"),
            (&format!("{service}_PORT_{port}_TCP_PORT"), &port.to_string()),
            (&format!("{service}_PORT_{port}_TCP_ADDR"), address),
        ])
    }

    #[test]
    fn the_variables_that_kubernetes_makes_for_any_service_are_ignored() {
        for service in [
            "RINGBACK",
            "RINGBACK_METRICS",
            "RINGBACK_LISTEN",
            "RINGBACK_METRICS_LISTEN",
            "RINGBACK_ENGINE",
            "RINGBACK_PORT",
            "RINGBACK_SERVICE",
            "RINGBACK_ADMIN_KEY",
        ] {
            for address in ["10.0.0.1", "fd00::1"] {
                assert_eq!(ours(injected(service, address, 9090)), pairs(&[]), "{service} {address}");
            }
        }
    }

    #[test]
    fn names_like_those_of_kubernetes_with_other_values_are_not_ignored() {
        let given = pairs(&[
            ("RINGBACK_METRICS_PORT", "9090"),
            ("RINGBACK_PORT", "8080"),
            ("RINGBACK_PORT_RANGE", "1-2"),
            ("RINGBACK_PORT_80_TCP_PROTO", "yes"),
            ("RINGBACK_SERVICE_HOST", "example.com"),
            ("RINGBACK_SERVICE_PORT", "http"),
            ("RINGBACK_SERVICE_NAME", "engine"),
        ]);
        let mut expected = given.clone();
        expected.sort();
        assert_eq!(ours(given), expected);
    }

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        let given =
            pairs(&[("RINGBACK_LISTEN", ""), ("RINGBACK_LOG", " \n"), ("RINGBACK_LISTN", ""), ("OTHER", "x")]);
        assert_eq!(ours(given), pairs(&[]));
    }
}
