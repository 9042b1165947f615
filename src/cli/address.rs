//! Addresses as users type them.

use std::net::{IpAddr, SocketAddr};

use url::{Host, Url};

/// Parses the listening address of a receiver; a port alone means the loopback address.
pub(crate) fn local(text: &str) -> Result<SocketAddr, String> {
    let port_of = |prefix: &str| text.strip_prefix(prefix)?.parse::<u16>().ok();
    if let Some(port) = port_of("localhost:").or_else(|| port_of(":")).or_else(|| port_of("")) {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    text.parse().map_err(|_| {
        String::from("expects an address and a port like 127.0.0.1:9001 or [::1]:9001, or a port alone like 9001")
    })
}

/// Parses the address of an engine. The scheme may be left out for this machine and for addresses of a private network:
/// these have no certificates, so it is `http`.
pub(crate) fn engine(text: &str) -> Result<String, String> {
    let text = text.trim().trim_end_matches('/');
    // users copy it from addresses of the API
    let text = text.strip_suffix("/v1").unwrap_or(text);
    let example = "for example http://127.0.0.1:8080 or https://hooks.example.com";
    let has_scheme = text.contains("://");
    let address = match text.strip_prefix(':').unwrap_or(text) {
        port if port.parse::<u16>().is_ok() => format!("http://127.0.0.1:{port}"),
        _ if has_scheme => text.to_owned(),
        _ => format!("http://{text}"),
    };
    let url = Url::parse(&address).map_err(|error| format!("expects a URL, {example}: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("expects a URL that begins with http:// or https://, {example}"));
    }
    if !has_scheme && (text.starts_with("http") || text.contains("//")) {
        return Err(format!("expects a URL, {example}"));
    }
    if !has_scheme && !is_local_or_private(url.host()) {
        return Err(format!("expects a URL: write https://{text}, or http://{text} if it has no certificate"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!(
            "expects a URL without user name and password, {example}; the key is given with --key"
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("expects the engine's address alone, {example}"));
    }
    Ok(address)
}

/// Parses the address of an application that deliveries are sent on to. A port alone means this machine.
pub(crate) fn application(text: &str) -> Result<String, String> {
    let example = "for example http://localhost:3000/hooks";
    let text = text.trim();
    let port = text.strip_prefix(':').unwrap_or(text);
    let address = match port.split('/').next().is_some_and(|port| port.parse::<u16>().is_ok()) {
        true => format!("http://localhost:{port}"),
        false if text.contains("://") => text.to_owned(),
        false => format!("http://{text}"),
    };
    let url = Url::parse(&address).map_err(|error| format!("expects a URL, {example}: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(format!("expects a URL that begins with http:// or https://, {example}"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(format!("expects a URL without credentials and without #, {example}"));
    }
    Ok(url.into())
}

fn is_local_or_private(host: Option<Host<&str>>) -> bool {
    match host {
        Some(Host::Domain(name)) => is_localhost(name),
        Some(Host::Ipv4(address)) => address.is_loopback() || address.is_private(),
        Some(Host::Ipv6(address)) => address.is_loopback() || address.is_unique_local(),
        None => false,
    }
}

/// Whether a URL points to the port that `listening` binds on this machine.
pub(crate) fn points_to(url: &str, listening: SocketAddr) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let is_here = match url.host() {
        Some(Host::Domain(name)) => is_localhost(name) && listening.ip().is_loopback(),
        Some(Host::Ipv4(address)) => is_same(IpAddr::V4(address), listening.ip()),
        Some(Host::Ipv6(address)) => is_same(IpAddr::V6(address), listening.ip()),
        None => false,
    };
    is_here && url.port_or_known_default() == Some(listening.port())
}

fn is_same(one: IpAddr, other: IpAddr) -> bool {
    one == other || (one.is_loopback() && other.is_loopback())
}

fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_means_the_loopback_address() {
        for text in ["9001", ":9001", "localhost:9001", "127.0.0.1:9001"] {
            assert_eq!(local(text), Ok(SocketAddr::from(([127, 0, 0, 1], 9001))), "{text}");
        }
        assert_eq!(local("0.0.0.0:1").map(|address| address.to_string()).as_deref(), Ok("0.0.0.0:1"));
        assert_eq!(local("[::1]:1").map(|address| address.to_string()).as_deref(), Ok("[::1]:1"));
        for text in ["", ":", "70000", "127.0.0.1", "http://127.0.0.1:9001", "example.com:9001"] {
            assert!(local(text).is_err_and(|error| error.contains("127.0.0.1:9001")), "{text}");
        }
    }

    #[test]
    fn a_local_or_private_engine_needs_no_scheme() {
        for (text, expected) in [
            ("localhost:8080", "http://localhost:8080"),
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("[::1]:8080/", "http://[::1]:8080"),
            ("10.1.2.3", "http://10.1.2.3"),
            ("8081", "http://127.0.0.1:8081"),
            (":8081", "http://127.0.0.1:8081"),
            (" https://hooks.example.com/ ", "https://hooks.example.com"),
            ("http://hooks.example.com/behind", "http://hooks.example.com/behind"),
            ("https://hooks.example.com/v1/", "https://hooks.example.com"),
        ] {
            assert_eq!(engine(text).as_deref(), Ok(expected), "{text}");
        }
        for (text, expected) in [
            ("hooks.example.com", "https://hooks.example.com"),
            ("hooks.example.com:8443", "https://hooks.example.com:8443"),
            ("", "http://127.0.0.1:8080"),
            ("ftp://127.0.0.1", "http://127.0.0.1:8080"),
            ("http://127.0.0.1:99999", "http://127.0.0.1:8080"),
            ("https://hooks.example.com/?a=b", "http://127.0.0.1:8080"),
            ("https://a:b@hooks.example.com", "--key"),
            ("https//hooks.example.com", "http://127.0.0.1:8080"),
            ("http:/127.0.0.1:8080", "for example http://127.0.0.1:8080 or"),
        ] {
            assert!(engine(text).is_err_and(|error| error.contains(expected)), "{text}: {:?}", engine(text));
        }
    }

    #[test]
    fn an_application_is_a_url_or_a_port_of_this_machine() {
        for (text, expected) in [
            ("3000", "http://localhost:3000/"),
            (":3000/hooks", "http://localhost:3000/hooks"),
            ("3000/hooks", "http://localhost:3000/hooks"),
            ("localhost:3000/hooks?a=b", "http://localhost:3000/hooks?a=b"),
            ("https://dev.example.com/hooks", "https://dev.example.com/hooks"),
        ] {
            assert_eq!(application(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", "ftp://localhost", "http://", "http://me:secret@localhost", "http://localhost/#x"] {
            assert!(application(text).is_err_and(|error| error.contains("localhost:3000/hooks")), "{text}");
        }
    }

    #[test]
    fn every_name_of_this_machine_points_to_its_port() {
        let here = SocketAddr::from(([127, 0, 0, 1], 9000));
        for url in
            ["http://127.0.0.1:9000/", "http://localhost:9000/x", "http://[::1]:9000", "http://127.0.0.2:9000/"]
        {
            assert!(points_to(url, here), "{url}");
        }
        for url in ["http://127.0.0.1:9001/", "http://10.0.0.1:9000/", "https://example.com:9000/", "nonsense"] {
            assert!(!points_to(url, here), "{url}");
        }
        assert!(points_to("http://10.0.0.1:80/", SocketAddr::from(([10, 0, 0, 1], 80))));
        assert!(points_to("http://10.0.0.1/", SocketAddr::from(([10, 0, 0, 1], 80))));
    }
}
