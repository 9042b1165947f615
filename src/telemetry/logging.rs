//! Log lines go to standard error: standard output is for the readiness line and the greeting of `--dev`.

use std::io::IsTerminal;

use thiserror::Error;
use tracing_subscriber::EnvFilter;

use super::requests::ACCESS;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logging can't be installed.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LoggingError {
    /// The filter is not a list of levels and targets.
    #[error(
        "`{directive}` is not a log filter: expects a level (error, warn, info, debug, trace, off) or a list like \
         info,ringback::delivery=debug"
    )]
    Filter {
        /// The part that is wrong.
        directive: String,
    },
    /// A process has one logger, and this one has it already.
    #[error("logging is installed already")]
    Installed,
}

/// Reads a filter: levels and `target=level` pairs, separated by commas.
///
/// `tracing` would take a misspelled level for the name of a target and then log next to nothing, so here a part without
/// `=` must be a level.
pub(crate) fn parse_filter(filter: &str) -> Result<EnvFilter, LoggingError> {
    let directives: Vec<&str> = filter.split(',').map(str::trim).collect();
    for directive in &directives {
        let level = match directive.rsplit_once('=') {
            Some((_, level)) => level.trim(),
            None => *directive,
        };
        if !LEVELS.contains(&level.to_ascii_lowercase().as_str()) {
            return Err(LoggingError::Filter { directive: (*directive).to_owned() });
        }
    }
    let mut filter = directives.join(",");
    // actix logs each worker that starts: five lines that add nothing to ours
    if directives.iter().any(|directive| directive.eq_ignore_ascii_case("info"))
        && !filter.contains("actix_server")
    {
        filter.push_str(",actix_server=warn");
    }
    // actix writes an error for every malformed request: anyone could fill the log (and the disk) with them
    if !filter.contains("actix_http") {
        filter.push_str(",actix_http=off");
    }
    EnvFilter::try_new(&filter).map_err(|_| LoggingError::Filter { directive: filter })
}

/// The filter with the access log switched on or off, whatever else it lets through, unless it names the access log itself.
fn with_access_log(filter: &str, has_access_log: bool) -> String {
    match (filter.contains(ACCESS), has_access_log) {
        (true, _) => filter.to_owned(),
        (false, true) => format!("{filter},{ACCESS}=info"),
        (false, false) => format!("{filter},{ACCESS}=off"),
    }
}

/// Starts logging for the whole process.
pub(crate) fn install_logging(filter: &str, format: LogFormat, has_access_log: bool) -> Result<(), LoggingError> {
    let filter = parse_filter(&with_access_log(filter, has_access_log))?;
    // a line that can't be written (the log's disk is full) is dropped: reporting the error to standard error, which can't
    // be written to, would panic in the part of the engine that logs
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    let installed = match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    installed.map_err(|_| LoggingError::Installed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_targets_are_filters() {
        for filter in ["info", "WARN", "off", "info,ringback=debug", "warn, ringback::delivery=trace"] {
            assert!(parse_filter(filter).is_ok(), "{filter}");
        }
    }

    #[test]
    fn actix_errors_about_malformed_requests_are_logged_only_on_request() {
        for filter in ["info", "trace", "warn,ringback=debug"] {
            assert!(parse_filter(filter).unwrap().to_string().contains("actix_http=off"), "{filter}");
        }
        assert!(!parse_filter("info,actix_http=debug").unwrap().to_string().contains("actix_http=off"));
    }

    #[test]
    fn the_access_log_is_on_or_off_whatever_else_is_logged() {
        let filter = |text, is_on| parse_filter(&with_access_log(text, is_on)).unwrap().to_string();
        for text in ["error", "off", "trace"] {
            assert!(filter(text, true).contains("ringback::access=info"), "{text}");
            assert!(filter(text, false).contains("ringback::access=off"), "{text}");
        }
        assert!(filter("info,ringback::access=info", false).contains("ringback::access=info"), "it is named");
    }

    #[test]
    fn a_misspelled_level_is_refused_and_named() {
        for (filter, wrong) in
            [("inof", "inof"), ("", ""), ("info,ringback=loud", "ringback=loud"), ("ringback", "ringback")]
        {
            assert_eq!(parse_filter(filter).err(), Some(LoggingError::Filter { directive: wrong.to_owned() }));
        }
    }
}
