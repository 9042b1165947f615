//! What is written down about every route. Names of operations and schemas are those of Svix's description.

/// One call. What follows from the table of routes is not here.
#[derive(Clone, Copy)]
pub(super) struct Operation {
    /// As in the table of routes.
    pub method: &'static str,
    /// As in the table of routes.
    pub path: &'static str,
    /// The name that generated clients use.
    pub id: &'static str,
    pub summary: &'static str,
    /// Names of parameters.
    pub query: &'static [&'static str],
    /// Its schema.
    pub body: Option<&'static str>,
    /// On success; none when the call never succeeds.
    pub statuses: &'static [u16],
    /// The schema of what is answered then.
    pub answer: Option<&'static str>,
}

impl Operation {
    const fn new(method: &'static str, path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self { method, path, id, summary, query: &[], body: None, statuses: &[204], answer: None }
    }

    const fn query(self, query: &'static [&'static str]) -> Self {
        Self { query, ..self }
    }

    const fn body(self, schema: &'static str) -> Self {
        Self { body: Some(schema), ..self }
    }

    const fn answer(self, statuses: &'static [u16], schema: &'static str) -> Self {
        Self { statuses, answer: Some(schema), ..self }
    }

    const fn never(self) -> Self {
        Self { statuses: &[], ..self }
    }

    /// The section: what the call is about.
    pub(super) fn tag(&self) -> &'static str {
        self.id.split('.').nth(1).unwrap_or_default()
    }
}

const fn get(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new("GET", path, id, summary)
}

const fn post(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new("POST", path, id, summary)
}

const fn put(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new("PUT", path, id, summary)
}

const fn patch(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new("PATCH", path, id, summary)
}

const fn delete(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new("DELETE", path, id, summary)
}

const PAGE: &[&str] = &["limit", "iterator", "order"];
const MESSAGES: &[&str] =
    &["limit", "iterator", "channel", "tag", "before", "after", "event_types", "with_content"];
const ATTEMPTS: &[&str] = &[
    "limit",
    "iterator",
    "status",
    "status_code_class",
    "channel",
    "before",
    "after",
    "event_types",
    "with_content",
];
const ATTEMPTS_OF_MESSAGE: &[&str] = &[
    "limit",
    "iterator",
    "status",
    "status_code_class",
    "channel",
    "endpoint_id",
    "before",
    "after",
    "event_types",
    "with_content",
];
const MESSAGES_OF_ENDPOINT: &[&str] = &[
    "limit",
    "iterator",
    "status",
    "channel",
    "before",
    "after",
    "event_types",
    "with_content",
    "expanded_statuses",
];

/// All of them.
pub(super) const OPERATIONS: &[Operation] = &[
    get("/app", "v1.application.list", "List applications")
        .query(PAGE)
        .answer(&[200], "ListResponse_ApplicationOut"),
    post("/app", "v1.application.create", "Create an application, or get the one with that uid")
        .query(&["get_if_exists"])
        .body("ApplicationIn")
        .answer(&[201, 200], "ApplicationOut"),
    get("/app/{app}", "v1.application.get", "Get an application").answer(&[200], "ApplicationOut"),
    put("/app/{app}", "v1.application.update", "Replace an application, or create it")
        .body("ApplicationIn")
        .answer(&[200, 201], "ApplicationOut"),
    patch("/app/{app}", "v1.application.patch", "Change an application")
        .body("ApplicationPatch")
        .answer(&[200], "ApplicationOut"),
    delete("/app/{app}", "v1.application.delete", "Delete an application with everything that it has"),
    get("/app/{app}/endpoint", "v1.endpoint.list", "List endpoints, the newest first")
        .query(PAGE)
        .answer(&[200], "ListResponse_EndpointOut"),
    post("/app/{app}/endpoint", "v1.endpoint.create", "Create an endpoint")
        .body("EndpointIn")
        .answer(&[201], "EndpointOut"),
    get("/app/{app}/endpoint/{endpoint}", "v1.endpoint.get", "Get an endpoint").answer(&[200], "EndpointOut"),
    put("/app/{app}/endpoint/{endpoint}", "v1.endpoint.update", "Replace an endpoint, or create it")
        .body("EndpointIn")
        .answer(&[200, 201], "EndpointOut"),
    patch("/app/{app}/endpoint/{endpoint}", "v1.endpoint.patch", "Change an endpoint")
        .body("EndpointPatch")
        .answer(&[200], "EndpointOut"),
    delete("/app/{app}/endpoint/{endpoint}", "v1.endpoint.delete", "Delete an endpoint"),
    get("/app/{app}/endpoint/{endpoint}/secret", "v1.endpoint.get-secret", "Get an endpoint's signing secret")
        .answer(&[200], "EndpointSecretOut"),
    post(
        "/app/{app}/endpoint/{endpoint}/secret/rotate",
        "v1.endpoint.rotate-secret",
        "Replace the signing secret",
    )
    .body("EndpointSecretRotateIn")
    .answer(&[200], "EndpointSecretOut"),
    get("/app/{app}/endpoint/{endpoint}/headers", "v1.endpoint.get-headers", "Get the headers that are added")
        .answer(&[200], "EndpointHeadersOut"),
    put(
        "/app/{app}/endpoint/{endpoint}/headers",
        "v1.endpoint.update-headers",
        "Replace the headers that are added",
    )
    .body("EndpointHeadersIn"),
    patch(
        "/app/{app}/endpoint/{endpoint}/headers",
        "v1.endpoint.patch-headers",
        "Change the headers that are added",
    )
    .body("EndpointHeadersPatchIn"),
    get("/app/{app}/endpoint/{endpoint}/stats", "v1.endpoint.get-stats", "Count an endpoint's attempts")
        .query(&["since", "until"])
        .answer(&[200], "EndpointStats"),
    post(
        "/app/{app}/endpoint/{endpoint}/send-example",
        "v1.endpoint.send-example",
        "Send an event type's example",
    )
    .body("EventExampleIn")
    .answer(&[200], "MessageOut"),
    post("/app/{app}/endpoint/{endpoint}/recover", "v1.endpoint.recover", "Send again what failed in a period")
        .body("PeriodIn")
        .answer(&[202], "BackgroundTaskOut"),
    post(
        "/app/{app}/endpoint/{endpoint}/replay-missing",
        "v1.endpoint.replay-missing",
        "Send what an endpoint never got",
    )
    .body("PeriodIn")
    .answer(&[202], "BackgroundTaskOut"),
    post("/app/{app}/endpoint/{endpoint}/bulk-replay", "v1.endpoint.bulk-replay", "Send a selection again")
        .body("BulkReplayIn")
        .answer(&[202], "BackgroundTaskOut"),
    get(
        "/app/{app}/endpoint/{endpoint}/msg",
        "v1.message-attempt.list-attempted-messages",
        "List what was sent to an endpoint",
    )
    .query(MESSAGES_OF_ENDPOINT)
    .answer(&[200], "ListResponse_EndpointMessageOut"),
    get("/app/{app}/msg", "v1.message.list", "List messages, the newest first")
        .query(MESSAGES)
        .answer(&[200], "ListResponse_MessageOut"),
    post("/app/{app}/msg", "v1.message.create", "Publish a message; it is stored when this is answered")
        .query(&["with_content", "traceparent", "tracestate"])
        .body("MessageIn")
        .answer(&[202], "MessageOut"),
    get("/app/{app}/msg/{msg}", "v1.message.get", "Get a message")
        .query(&["with_content"])
        .answer(&[200], "MessageOut"),
    delete("/app/{app}/msg/{msg}/content", "v1.message.expunge-content", "Erase a message's payload"),
    post("/app/{app}/msg/bulk-expunge", "v1.message.bulk-expunge", "Erase the payloads of several messages")
        .body("BulkExpungeIn")
        .answer(&[200], "BulkExpungeOut"),
    post("/app/{app}/msg/precheck/active", "v1.message.precheck", "Whether a message would reach any endpoint")
        .body("MessagePrecheckIn")
        .answer(&[200], "MessagePrecheckOut"),
    get(
        "/app/{app}/msg/{msg}/endpoint",
        "v1.message-attempt.list-attempted-destinations",
        "List where a message was sent to",
    )
    .query(&["limit", "iterator", "expanded_statuses"])
    .answer(&[200], "ListResponse_MessageEndpointOut"),
    post(
        "/app/{app}/msg/{msg}/endpoint/{endpoint}/resend",
        "v1.message-attempt.resend",
        "Send a message once more",
    )
    .answer(&[202], "EmptyResponse"),
    get(
        "/app/{app}/msg/{msg}/endpoint/{endpoint}/attempt",
        "v1.message-attempt.list-by-endpoint-deprecated",
        "List a message's attempts at an endpoint",
    )
    .query(ATTEMPTS)
    .answer(&[200], "ListResponse_MessageAttemptOut"),
    get("/app/{app}/msg/{msg}/attempt", "v1.message-attempt.list-by-msg-deprecated", "List a message's attempts")
        .query(ATTEMPTS_OF_MESSAGE)
        .answer(&[200], "ListResponse_MessageAttemptOut"),
    get("/app/{app}/msg/{msg}/attempt/{attempt}", "v1.message-attempt.get", "Get an attempt")
        .answer(&[200], "MessageAttemptOut"),
    delete(
        "/app/{app}/msg/{msg}/attempt/{attempt}/content",
        "v1.message-attempt.expunge-content",
        "Erase what was answered to an attempt",
    ),
    get(
        "/app/{app}/attempt/endpoint/{endpoint}",
        "v1.message-attempt.list-by-endpoint",
        "List an endpoint's attempts",
    )
    .query(ATTEMPTS)
    .answer(&[200], "ListResponse_MessageAttemptOut"),
    get("/app/{app}/attempt/msg/{msg}", "v1.message-attempt.list-by-msg", "List a message's attempts")
        .query(ATTEMPTS_OF_MESSAGE)
        .answer(&[200], "ListResponse_MessageAttemptOut"),
    get("/event-type", "v1.event-type.list", "List event types")
        .query(&["limit", "iterator", "order", "include_archived", "with_content"])
        .answer(&[200], "ListResponse_EventTypeOut"),
    post("/event-type", "v1.event-type.create", "Create an event type")
        .body("EventTypeIn")
        .answer(&[201], "EventTypeOut"),
    get("/event-type/{event_type}", "v1.event-type.get", "Get an event type").answer(&[200], "EventTypeOut"),
    put("/event-type/{event_type}", "v1.event-type.update", "Replace an event type, or create it")
        .body("EventTypeUpdate")
        .answer(&[200, 201], "EventTypeOut"),
    patch("/event-type/{event_type}", "v1.event-type.patch", "Change an event type")
        .body("EventTypePatch")
        .answer(&[200], "EventTypeOut"),
    delete("/event-type/{event_type}", "v1.event-type.delete", "Archive an event type, or remove it")
        .query(&["expunge"]),
    post("/event-type/schema/generate-example", "v1.event-type.generate-example", "Make up an example").never(),
    post(
        "/auth/app-portal-access/{app}",
        "v1.authentication.app-portal-access",
        "Make a token and a link for one customer",
    )
    .body("AppPortalAccessIn")
    .answer(&[200], "AppPortalAccessOut"),
    post("/auth/dashboard-access/{app}", "v1.authentication.dashboard-access", "The older name of that")
        .answer(&[200], "AppPortalAccessOut"),
    post("/auth/app/{app}/expire-all", "v1.authentication.expire-all", "End all tokens of an application")
        .body("ApplicationTokenExpireIn"),
    post("/auth/logout", "v1.authentication.logout", "End a token").never(),
    get("/operational-webhook/endpoint", "v1.operational-webhook-endpoint.list", "List operational endpoints")
        .query(PAGE)
        .answer(&[200], "ListResponse_EndpointOut"),
    post(
        "/operational-webhook/endpoint",
        "v1.operational-webhook-endpoint.create",
        "Create an operational endpoint",
    )
    .body("EndpointIn")
    .answer(&[201], "EndpointOut"),
    get(
        "/operational-webhook/endpoint/{endpoint}",
        "v1.operational-webhook-endpoint.get",
        "Get an operational endpoint",
    )
    .answer(&[200], "EndpointOut"),
    put(
        "/operational-webhook/endpoint/{endpoint}",
        "v1.operational-webhook-endpoint.update",
        "Replace an operational endpoint, or create it",
    )
    .body("EndpointIn")
    .answer(&[200, 201], "EndpointOut"),
    delete(
        "/operational-webhook/endpoint/{endpoint}",
        "v1.operational-webhook-endpoint.delete",
        "Delete an operational endpoint",
    ),
    get(
        "/operational-webhook/endpoint/{endpoint}/secret",
        "v1.operational-webhook-endpoint.get-secret",
        "Get an operational endpoint's signing secret",
    )
    .answer(&[200], "EndpointSecretOut"),
    post(
        "/operational-webhook/endpoint/{endpoint}/secret/rotate",
        "v1.operational-webhook-endpoint.rotate-secret",
        "Replace an operational endpoint's signing secret",
    )
    .body("EndpointSecretRotateIn")
    .answer(&[200], "EndpointSecretOut"),
    get(
        "/operational-webhook/endpoint/{endpoint}/headers",
        "v1.operational-webhook-endpoint.get-headers",
        "Get the headers that are added",
    )
    .answer(&[200], "EndpointHeadersOut"),
    put(
        "/operational-webhook/endpoint/{endpoint}/headers",
        "v1.operational-webhook-endpoint.update-headers",
        "Replace the headers that are added",
    )
    .body("EndpointHeadersIn"),
    get("/background-task", "v1.background-task.list", "List background tasks, the newest first")
        .query(&["limit", "iterator", "order", "task_status", "task_kind"])
        .answer(&[200], "ListResponse_BackgroundTaskOut"),
    get("/background-task/{task}", "v1.background-task.get", "Get a background task")
        .answer(&[200], "BackgroundTaskOut"),
    get("/health", "v1.health.report", "Whether requests can be served now").answer(&[200, 500], "HealthReport"),
    get("/health/ping", "v1.health.get", "Whether the process is running"),
    get("/openapi.json", "v1.health.openapi", "This description").answer(&[200], "OpenApiDocument"),
];
