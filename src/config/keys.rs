//! Every setting, in one table: name, bounds, help, how it is read and shown. The example file and the documentation are
//! made from it.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::readers::{
    RETRY_POLICY_EXAMPLE, admin_key, advertise, ca_file, database_url, header_prefix, log_filter, log_format,
    master_key, node_name, retry_policy, shown_policy, unknown_event_types,
};
pub use super::setting_key::SettingKey;
use super::setting_key::ValueKind;
use super::{LogFormat, egress_proxy, otlp, portal, svix};
use crate::domain::retry::{MAX_RETRIES, RetrySchedule};

/// Below this, a memory bound has no room for one event of 10 MiB.
const MIN_MEMORY_BYTES: i64 = 16 * 1024 * 1024;
const MAX_MEMORY_BYTES: i64 = 1 << 40;
/// Of a limit of an organization.
const MAX_LIMIT: i64 = 1_000_000;
const DAY_SECONDS: i64 = 86_400;
const DECADE_SECONDS: i64 = 10 * 365 * DAY_SECONDS;

/// A lease must be longer than what a node keeps of it as a margin (`domain::cluster::lease`).
const LEASE_SECONDS: RangeInclusive<i64> = 3..=60;

/// The contract's bounds of a webhook's settings.
const RETRIES: RangeInclusive<i64> = 0..=MAX_RETRIES as i64;
const TIMEOUTS: RangeInclusive<i64> = 1..=60;
const CONCURRENCY: RangeInclusive<i64> = 1..=256;

macro_rules! number {
    ($name:literal, $field:ident, $type:ty, $range:expr, $help:literal) => {
        SettingKey {
            name: $name,
            kind: ValueKind::Number($range),
            help: $help,
            example: None,
            read: |value, settings| {
                let number = value.integer($range)?;
                settings.delivery.$field = <$type>::try_from(number).map_err(|_| String::from("is too large"))?;
                Ok(())
            },
            show: |settings| Some(settings.delivery.$field.to_string()),
        }
    };
}

macro_rules! seconds {
    ($name:literal, $field:ident, $range:expr, $help:literal) => {
        SettingKey {
            name: $name,
            kind: ValueKind::Seconds($range),
            help: $help,
            example: None,
            read: |value, settings| {
                settings.delivery.$field = Duration::from_secs(value.integer($range)?.unsigned_abs());
                Ok(())
            },
            show: |settings| Some(settings.delivery.$field.as_secs().to_string()),
        }
    };
}

macro_rules! limit {
    ($name:literal, $field:ident, $help:literal) => {
        SettingKey {
            name: $name,
            kind: ValueKind::Number(0..=MAX_LIMIT),
            help: $help,
            example: None,
            read: |value, settings| {
                let number = value.integer(0..=MAX_LIMIT)?;
                settings.limits.$field = u32::try_from(number).map_err(|_| String::from("is too large"))?;
                Ok(())
            },
            show: |settings| Some(settings.limits.$field.to_string()),
        }
    };
}

/// Every setting, in the order of `ringback.toml` and of the documentation.
pub static KEYS: &[SettingKey] = &[
    SettingKey {
        name: "listen",
        kind: ValueKind::Text("address:port"),
        help: "Where the API and the dashboard listen. On 0.0.0.0, put a reverse proxy with TLS in front: keys travel in a \
               header.",
        example: None,
        read: |value, settings| value.address().map(|address| settings.listen = address),
        show: |settings| Some(quoted(settings.listen)),
    },
    SettingKey {
        name: "database_url",
        kind: ValueKind::Text("URL"),
        help: "sqlite://path (relative to the working directory; one engine for each file) or postgres://user@host/database.",
        example: None,
        read: |value, settings| database_url(value).map(|url| settings.database_url = url),
        show: |settings| Some(quoted(without_password(&settings.database_url))),
    },
    SettingKey {
        name: "admin_key",
        kind: ValueKind::Text("text"),
        help: "Manages organizations and their keys; at least 16 visible ASCII characters. Without it, organizations can't be \
               managed. Prefer the variable RINGBACK_ADMIN_KEY to this file.",
        example: Some(r#""""#),
        read: |value, settings| admin_key(value).map(|key| settings.admin_key = Some(key)),
        show: |settings| settings.admin_key.as_ref().map(|_| quoted("(hidden)")),
    },
    SettingKey {
        name: "master_key",
        kind: ValueKind::Text("32 bytes in base64"),
        help: "Encrypts signing secrets and custom headers at rest; make one with `openssl rand -base64 32`. If it is lost, they \
               can't be read any more. `serve` refuses to start without it, except with --dev, which creates one next to the \
               database.",
        example: Some(r#""""#),
        read: |value, settings| master_key(value).map(|key| settings.master_key = Some(key)),
        show: |settings| settings.master_key.as_ref().map(|_| quoted("(hidden)")),
    },
    SettingKey {
        name: "allow_http",
        kind: ValueKind::Text("true or false"),
        help: "Accept webhooks with an http: URL. Their bodies and signatures are then sent unencrypted.",
        example: None,
        read: |value, settings| value.boolean().map(|allow| settings.allow_http = allow),
        show: |settings| Some(settings.allow_http.to_string()),
    },
    SettingKey {
        name: "allowed_networks",
        kind: ValueKind::Text("list of networks"),
        help: "Private or reserved networks that webhooks may point to nevertheless, like [\"10.1.0.0/16\"]. Too large: a \
               customer's webhook can reach into your network.",
        example: None,
        read: |value, settings| value.networks().map(|networks| settings.allowed_networks = networks),
        show: |settings| Some(list(&settings.allowed_networks)),
    },
    SettingKey {
        name: "allowed_ports",
        kind: ValueKind::Text("list of ports and ranges"),
        help: "Ports that webhooks may use, like [\"443\", \"8000-8999\"]. Empty: 80, 443, and every port from 1024 up that \
               browsers don't block. Otherwise exactly those listed; a port that browsers block (22, 25, 6667, …) counts only when \
               it is listed alone, not as part of a range. Too many: a customer's webhook can reach services that are not web \
               servers.",
        example: None,
        read: |value, settings| value.ports().map(|ports| settings.allowed_ports = ports),
        show: |settings| Some(list(&settings.allowed_ports)),
    },
    SettingKey {
        name: "dns_servers",
        kind: ValueKind::Text("list of address:port"),
        help: "Name servers to use instead of the system's resolver. They are tried in this order: the next one when one refuses, \
               fails, or does not respond within a second.",
        example: None,
        read: |value, settings| value.addresses().map(|servers| settings.dns_servers = servers),
        show: |settings| Some(list(&settings.dns_servers)),
    },
    SettingKey {
        name: "ca_file",
        kind: ValueKind::Text("path"),
        help: "PEM file of certificate authorities to trust in addition to the built-in ones.",
        example: Some(r#""/etc/ssl/private-ca.pem""#),
        read: |value, settings| ca_file(value).map(|path| settings.ca_file = Some(path)),
        show: |settings| settings.ca_file.as_ref().map(|path| quoted(path.display())),
    },
    egress_proxy::EGRESS_PROXY,
    egress_proxy::EGRESS_PROXY_RESOLVES,
    SettingKey {
        name: "log",
        kind: ValueKind::Text("log filter"),
        help: "What is logged: error, warn, info, debug, trace, or a list like \"info,ringback::delivery=debug\". At debug, every \
               attempt (ringback::delivery) and every request to the API and the dashboard (ringback::api) is one line.",
        example: None,
        read: |value, settings| log_filter(value).map(|filter| settings.log = filter),
        show: |settings| Some(quoted(&settings.log)),
    },
    SettingKey {
        name: "builtin_event_types",
        kind: ValueKind::Text("true or false"),
        help: "Whether the catalogue begins with the 14 event types of the CallIntel documentation. With false there are only \
               those that you add (`/v1/catalogue/event-types`). All nodes need the same.",
        example: None,
        read: |value, settings| value.boolean().map(|has| settings.event_types.has_built_in = has),
        show: |settings| Some(settings.event_types.has_built_in.to_string()),
    },
    SettingKey {
        name: "unknown_event_types",
        kind: ValueKind::Text("refuse or accept"),
        help: "What happens to an event whose type nobody registered: refused with 422 unknown_event_type, which finds typing errors; \
               or accepted, and delivered to webhooks that want every type or name it. All nodes need the same.",
        example: None,
        read: |value, settings| {
            unknown_event_types(value).map(|accepts| settings.event_types.accepts_unknown = accepts)
        },
        show: |settings| Some(quoted(if settings.event_types.accepts_unknown { "accept" } else { "refuse" })),
    },
    SettingKey {
        name: "log_format",
        kind: ValueKind::Text("text or json"),
        help: "\"text\" for people, \"json\" for machines. Log lines go to standard error.",
        example: None,
        read: |value, settings| log_format(value).map(|format| settings.log_format = format),
        show: |settings| {
            Some(quoted(match settings.log_format {
                LogFormat::Text => "text",
                LogFormat::Json => "json",
            }))
        },
    },
    SettingKey {
        name: "access_log",
        kind: ValueKind::Text("true or false"),
        help: "Log one line for each request to the API and the dashboard (ringback::access), whatever `log` says: method, route, status, \
               duration, bytes, organization, key and request id. Over 2,000 lines a second, or 100 without a valid key, lines are \
               left out and counted.",
        example: None,
        read: |value, settings| value.boolean().map(|is_on| settings.access_log = is_on),
        show: |settings| Some(settings.access_log.to_string()),
    },
    SettingKey {
        name: "metrics_listen",
        kind: ValueKind::Text("address:port"),
        help: "Serve /metrics here instead of on `listen`, for example on an address that only Prometheus can reach.",
        example: Some(r#""127.0.0.1:9100""#),
        read: |value, settings| value.address().map(|address| settings.metrics_listen = Some(address)),
        show: |settings| settings.metrics_listen.map(quoted),
    },
    otlp::ENDPOINT,
    otlp::SAMPLE_RATIO,
    otlp::HEADERS,
    SettingKey {
        name: "signature_header_prefix",
        kind: ValueKind::Text("header prefix"),
        help: "Prefix of the headers that are sent alongside those of Standard Webhooks: <prefix>-signature, <prefix>-delivery, \
               <prefix>-attempt. Receivers read them: change it only before the first webhook exists.",
        example: None,
        read: |value, settings| header_prefix(value).map(|prefix| settings.signature_header_prefix = prefix),
        show: |settings| Some(quoted(&settings.signature_header_prefix)),
    },
    number!(
        "delivery.max_active_endpoints",
        max_active_endpoints,
        usize,
        1..=10_000_000,
        "Webhooks that are delivered to at once. Too small: webhooks wait for each other. Too large: a restart with pending \
               deliveries for many webhooks costs memory."
    ),
    number!(
        "delivery.payload_memory_bytes",
        payload_memory_bytes,
        usize,
        MIN_MEMORY_BYTES..=MAX_MEMORY_BYTES,
        "Memory for event bodies that are being delivered, three quarters of it for bodies over 16 KiB; a body that does not \
               fit stays in the database until its turn. Too small: bodies are read from the database again more often. Too large: \
               memory grows by this much when receivers are slow."
    ),
    number!(
        "delivery.max_uncommitted_events",
        max_uncommitted_events,
        usize,
        1..=10_000_000,
        "Events received but not yet committed; above it, publishers get 503, and above its share of it (three quarters of what \
               others leave) an organization gets 429. Too small: a burst is refused that the next commit would have taken. Too \
               large: publishers wait long for their response when the disk is slow."
    ),
    number!(
        "delivery.max_uncommitted_bytes",
        max_uncommitted_bytes,
        usize,
        MIN_MEMORY_BYTES..=MAX_MEMORY_BYTES,
        "The same bound in bytes of event bodies, including those that are still being received."
    ),
    number!(
        "delivery.breaker_failure_threshold",
        breaker_failure_threshold,
        u32,
        1..=1_000_000,
        "Failed attempts in a row that open a webhook's circuit breaker. Too small: a hiccup pauses the webhook. Too large: a \
               dead receiver gets more requests than is useful."
    ),
    seconds!(
        "delivery.breaker_initial_pause_seconds",
        breaker_initial_pause,
        1..=DAY_SECONDS,
        "How long a breaker stays open the first time; the pause doubles each time after that. Too small: a struggling \
               receiver is probed while it recovers. Too large: a receiver that is back waits for its deliveries."
    ),
    seconds!(
        "delivery.breaker_max_pause_seconds",
        breaker_max_pause,
        1..=DAY_SECONDS,
        "The longest pause between two probes of an open breaker, and so the longest that a receiver that is back waits."
    ),
    seconds!(
        "delivery.idle_linger_seconds",
        idle_linger,
        0..=DAY_SECONDS,
        "How long a webhook without work keeps its actor and its connections. Too small: every event opens a new connection. \
               Too large: idle webhooks hold memory and sockets."
    ),
    seconds!(
        "delivery.disable_after_seconds",
        disable_after,
        1..=DECADE_SECONDS,
        "A webhook that fails for this long without one success is disabled (default: 5 days). Too small: a long outage costs \
               customers their webhook. Too large: dead webhooks are probed for ever."
    ),
    seconds!(
        "delivery.retention_seconds",
        retention,
        1..=DECADE_SECONDS,
        "Events older than this are removed with their deliveries (default: 30 days); pending deliveries never are. Too small: \
               nobody can look up or resend what happened. Too large: the database grows."
    ),
    SettingKey {
        name: "cluster.advertise",
        kind: ValueKind::Text("http://host:port"),
        help: "Where other nodes of the same PostgreSQL database reach this one's API (default: `listen`, when that is not a \
               wildcard). Without one they find this node's events by looking, up to 1 s later.",
        example: Some(r#""http://10.0.0.7:8080""#),
        read: |value, settings| advertise(value).map(|url| settings.cluster.advertise = Some(url)),
        show: |settings| settings.cluster.advertise.as_ref().map(quoted),
    },
    SettingKey {
        name: "cluster.lease_seconds",
        kind: ValueKind::Seconds(LEASE_SECONDS),
        help: "How long a node that is silent keeps its webhooks; nodes may have different ones. Too small: a database that is slow for a \
               moment stops delivery. Too large: the webhooks of a dead node wait for longer.",
        example: None,
        read: |value, settings| {
            settings.cluster.lease = Duration::from_secs(value.integer(LEASE_SECONDS)?.unsigned_abs());
            Ok(())
        },
        show: |settings| Some(settings.cluster.lease.as_secs().to_string()),
    },
    SettingKey {
        name: "cluster.name",
        kind: ValueKind::Text("text"),
        help: "The name of this node, for people (default: host name and port).",
        example: Some(r#""ringback-1""#),
        read: |value, settings| node_name(value).map(|name| settings.cluster.name = Some(name)),
        show: |settings| settings.cluster.name.as_ref().map(quoted),
    },
    SettingKey {
        name: "portal.public_url",
        kind: ValueKind::Text("https://host"),
        help: "Where browsers of customers reach the dashboard: sign-in links begin with it (default: where the call that makes one came to, \
               which behind a proxy can be an address that only your servers know).",
        example: Some(r#""https://hooks.example.com""#),
        read: |value, settings| portal::public_url(value).map(|url| settings.portal.public_url = Some(url)),
        show: |settings| settings.portal.public_url.as_ref().map(quoted),
    },
    SettingKey {
        name: "portal.name",
        kind: ValueKind::Text("text"),
        help: "The name of your product: customers who come by a sign-in link see it instead of Ringback's.",
        example: Some(r#""Acme""#),
        read: |value, settings| portal::name(value).map(|name| settings.portal.name = Some(name)),
        show: |settings| settings.portal.name.as_ref().map(quoted),
    },
    SettingKey {
        name: "portal.logo",
        kind: ValueKind::Text("path"),
        help: "The logo of your product, for the same customers: an SVG, PNG, JPEG or WebP file of at most 256 KiB, read at the start. It \
               stands on white and on nearly black.",
        example: Some(r#""/etc/ringback/logo.svg""#),
        read: |value, settings| portal::logo(value).map(|logo| settings.portal.logo = Some(logo)),
        show: |settings| settings.portal.logo.as_ref().map(|logo| quoted(logo.path.display())),
    },
    SettingKey {
        name: "portal.accent_color",
        kind: ValueKind::Text("#rrggbb"),
        help: "The colour of your product, for the same customers: buttons, links and marks have it, lighter or darker where it could not be \
               read.",
        example: Some(r##""#0a7c5a""##),
        read: |value, settings| {
            portal::accent_color(value).map(|color| settings.portal.accent_color = Some(color))
        },
        show: |settings| settings.portal.accent_color.map(quoted),
    },
    SettingKey {
        name: "portal.frame_ancestors",
        kind: ValueKind::Text("list of origins"),
        help: "Origins whose pages may show the dashboard in a frame to the same customers, like [\"https://app.example.com\"]; http:// only \
               for localhost, and no `*`. Whoever writes such a page can cover the dashboard and make a customer click what they don't see. \
               Needs HTTPS, except on localhost.",
        example: None,
        read: |value, settings| {
            portal::frame_ancestors(value).map(|origins| settings.portal.frame_ancestors = origins)
        },
        show: |settings| Some(list(&settings.portal.frame_ancestors)),
    },
    SettingKey {
        name: "defaults.retry",
        kind: ValueKind::Number(RETRIES),
        help: "`retry` of webhooks that say nothing about it. The defaults are for webhooks that are made or set back to them from now on. \
               Too small: an event is lost to a receiver that is away for longer. Too large: deliveries to dead receivers pile up.",
        example: None,
        read: |value, settings| {
            let retries = value.integer(RETRIES)?;
            settings.defaults.retry = RetrySchedule::Retries(u32::try_from(retries).unwrap_or_default());
            Ok(())
        },
        show: |settings| match settings.defaults.retry {
            RetrySchedule::Retries(retries) => Some(retries.to_string()),
            RetrySchedule::Policy(_) | RetrySchedule::Delays(_) => None,
        },
    },
    SettingKey {
        name: "defaults.retry_policy",
        kind: ValueKind::Text("table"),
        help: "`retry_policy` of webhooks that say nothing about it, instead of `defaults.retry`; fields that are left out have the \
               values of a webhook's `retry_policy`. In the variable, JSON.",
        example: Some(RETRY_POLICY_EXAMPLE),
        read: |value, settings| {
            retry_policy(value).map(|policy| settings.defaults.retry = RetrySchedule::Policy(policy))
        },
        show: |settings| match settings.defaults.retry {
            RetrySchedule::Retries(_) | RetrySchedule::Delays(_) => None,
            RetrySchedule::Policy(policy) => Some(shown_policy(&policy)),
        },
    },
    SettingKey {
        name: "defaults.timeout",
        kind: ValueKind::Seconds(TIMEOUTS),
        help: "`timeout` of webhooks that say nothing about it. Too small: slow receivers count as failed. Too large: they hold places \
               that others need.",
        example: None,
        read: |value, settings| {
            settings.defaults.timeout = Duration::from_secs(value.integer(TIMEOUTS)?.unsigned_abs());
            Ok(())
        },
        show: |settings| Some(settings.defaults.timeout.as_secs().to_string()),
    },
    SettingKey {
        name: "defaults.max_in_flight",
        kind: ValueKind::Number(CONCURRENCY),
        help: "`max_in_flight` of webhooks that say nothing about it. Too small: a fast receiver gets its events late. Too large: a \
               small one is overwhelmed.",
        example: None,
        read: |value, settings| {
            let most = value.integer(CONCURRENCY)?;
            settings.defaults.max_in_flight = u32::try_from(most).map_err(|_| String::from("is too large"))?;
            Ok(())
        },
        show: |settings| Some(settings.defaults.max_in_flight.to_string()),
    },
    limit!(
        "limits.webhooks_per_organization",
        webhooks_per_organization,
        "Webhooks that one organization may have, disabled ones included; 0 for no limit. One more is refused with 409 \
               limit_reached. Too small: customers must ask for more. Too large: each event of such an organization becomes as many \
               deliveries."
    ),
    limit!(
        "limits.event_types_per_organization",
        event_types_per_organization,
        "Event types of its own that one organization may have; 0 for no limit. One more is refused with 409 limit_reached. \
               Too large: they are held in memory with their schemas."
    ),
    limit!(
        "limits.events_per_second_per_organization",
        events_per_second_per_organization,
        "Events that one organization may publish in a second, also at once; 0 for no limit. More are refused with 429 \
               too_many_requests and Retry-After. A batch counts its valid events, \
               a repeated request counts again; a batch that is larger than a second's worth is taken, and \
               the organization waits for it afterwards."
    ),
    svix::JWT_SECRET,
    svix::RETRY_SCHEDULE,
    svix::DEFAULT_SIGNATURE_TYPE,
    svix::WHITELABEL_HEADERS,
    svix::CORS_ORIGINS,
];

fn quoted(value: impl std::fmt::Display) -> String {
    // Rust escapes a string as TOML does, except for characters that no setting needs
    format!("{:?}", value.to_string())
}

fn list<T: std::fmt::Display>(values: &[T]) -> String {
    let items: Vec<String> = values.iter().map(quoted).collect();
    format!("[{}]", items.join(", "))
}

/// The URL without the password of `user:password@`, for display. A URL that can't be parsed is not shown at all, because
/// its password may end anywhere.
pub(crate) fn without_password(database_url: &str) -> String {
    let hidden = || String::from("(hidden)");
    if database_url.starts_with("sqlite:") {
        return database_url.to_owned();
    }
    let Ok(mut url) = url::Url::parse(database_url) else { return hidden() };
    let names_password = |(name, _): (std::borrow::Cow<'_, str>, _)| name.ends_with("password");
    // a `/`, `#` or `?` in a password that is not percent-encoded ends the host before the `@`
    let is_cut_short = [url.path(), url.query().unwrap_or_default(), url.fragment().unwrap_or_default()]
        .iter()
        .any(|part| part.contains('@'));
    if is_cut_short || url.query_pairs().any(names_password) {
        return hidden();
    }
    match url.password() {
        None => database_url.to_owned(),
        Some(_) => url.set_password(Some("hidden")).map_or_else(|()| hidden(), |()| url.to_string()),
    }
}
