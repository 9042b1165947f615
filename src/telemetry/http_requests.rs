//! The counter of requests, by route, method and status.

use std::cell::RefCell;

use metrics::Counter;

use super::metric_spec::{Handle, MetricSpec, OTHER};

/// Series that a thread remembers. Smaller: a thread that serves many kinds of requests has the recorder look for each, which takes
/// half a dozen allocations. Larger: looking through them takes as long.
const REMEMBERED: usize = 16;

/// Requests to the API and the dashboard. Their series are made when they are first counted: most combinations of labels
/// never occur.
pub(super) struct HttpRequests {
    name: &'static str,
}

struct Series {
    route: String,
    method: &'static str,
    status: u16,
    counter: Counter,
}

thread_local! {
    static KNOWN: RefCell<Vec<Series>> = const { RefCell::new(Vec::new()) };
}

impl Handle for HttpRequests {
    fn register(spec: &MetricSpec) -> Self {
        let requests = Self { name: spec.name };
        // one series from the start, so that the metric is exposed before the first request
        requests.series("/v1/events", "POST", 202).absolute(0);
        requests
    }
}

impl HttpRequests {
    /// Counts a request; `route` is the pattern that matched, never the path.
    pub(super) fn count(&self, route: &str, method: &str, status: u16) {
        let method = known_method(method);
        KNOWN.with_borrow_mut(|known| {
            let is_it =
                |series: &&Series| series.status == status && series.method == method && series.route == route;
            if let Some(series) = known.iter().find(is_it) {
                return series.counter.increment(1);
            }
            let counter = self.series(route, method, status);
            counter.increment(1);
            if known.len() == REMEMBERED {
                known.remove(0);
            }
            known.push(Series { route: route.to_owned(), method, status, counter });
        });
    }

    fn series(&self, route: &str, method: &'static str, status: u16) -> Counter {
        let labels = [("route", route.to_owned()), ("method", method.to_owned()), ("status", status.to_string())];
        metrics::counter!(self.name, &labels)
    }
}

/// Clients choose it, up to the length of a request's head.
pub(super) fn known_method(method: &str) -> &'static str {
    match method {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics_exporter_prometheus::PrometheusBuilder;

    #[test]
    fn every_request_is_counted_in_its_own_series_also_when_there_are_more_than_a_thread_remembers() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let exporter = recorder.handle();
        let requests = HttpRequests { name: "requests" };
        KNOWN.with_borrow_mut(Vec::clear);
        metrics::with_local_recorder(&recorder, || {
            for _ in 0..3 {
                for route in 0..REMEMBERED + 3 {
                    requests.count(&format!("/{route}"), "GET", 200);
                    requests.count(&format!("/{route}"), "BREW", 200);
                }
            }
        });
        let text = exporter.render();
        for route in 0..REMEMBERED + 3 {
            for method in ["GET", OTHER] {
                let line = format!(r#"requests{{route="/{route}",method="{method}",status="200"}} 3"#);
                assert!(text.contains(&line), "{line}: {text}");
            }
        }
    }
}
