//! The description of one route.

use serde_json::{Value, json};

use crate::api::problem::ErrorCode;

/// One call as described to its users. Parameters of the path, the key, and the errors that follow from the route's
/// permission and its body need not be listed.
#[derive(Clone)]
pub struct Operation {
    /// As in the table of routes.
    pub method: &'static str,
    /// As in the table of routes.
    pub path: &'static str,
    /// The name that generated clients use.
    pub id: &'static str,
    /// The section of the documentation.
    pub tag: &'static str,
    /// A short title.
    pub summary: &'static str,
    /// What it does, in Markdown without markup other than `code`.
    pub description: &'static str,
    /// Parameters of the query and headers, as OpenAPI has them.
    pub parameters: Vec<Value>,
    /// The request's body.
    pub body: Option<BodySpec>,
    /// The response on success.
    pub answer: ResponseSpec,
    /// Another one, with another status.
    pub other_answer: Option<ResponseSpec>,
    /// Errors in addition to those.
    pub errors: &'static [ErrorCode],
}

/// Examples by title.
pub(crate) type NamedExamples = Vec<(&'static str, Value)>;

/// A request's body.
#[derive(Clone)]
pub struct BodySpec {
    /// Whether it is required.
    pub required: bool,
    /// Media type, schema, examples by name.
    pub content: Vec<(&'static str, Value, NamedExamples)>,
    /// The same for formats that are accepted but not described to generated clients: generators don't know the media
    /// type and warn that the call may be incomplete, or take any text for the body and send it as JSON.
    pub by_hand: Vec<(&'static str, Value, NamedExamples)>,
}

/// A successful response.
#[derive(Clone)]
pub struct ResponseSpec {
    pub status: u16,
    /// What it means.
    pub description: &'static str,
    /// Media type, schema, example; `None` for an empty one.
    pub content: Option<(&'static str, Value, Value)>,
    /// Headers as OpenAPI has them, an object by name.
    pub headers: Value,
}

impl Operation {
    /// An operation without parameters or body.
    pub(crate) fn new(
        call: (&'static str, &'static str),
        id: &'static str,
        tag: &'static str,
        answer: ResponseSpec,
    ) -> Self {
        let (method, path) = call;
        Self {
            method,
            path,
            id,
            tag,
            summary: "",
            description: "",
            parameters: Vec::new(),
            body: None,
            answer,
            other_answer: None,
            errors: &[],
        }
    }

    /// Sets its title and description.
    pub(crate) fn about(self, summary: &'static str, description: &'static str) -> Self {
        Self { summary, description, ..self }
    }

    /// With these parameters in addition to those of the path.
    pub(crate) fn with(mut self, parameters: impl IntoIterator<Item = Value>) -> Self {
        self.parameters.extend(parameters);
        self
    }

    /// With `limit` and `cursor`.
    pub(crate) fn paged(self) -> Self {
        self.with([reference("parameters", "limit"), reference("parameters", "cursor")])
    }

    /// With a JSON body of a named schema.
    pub(crate) fn body(self, schema: &str, examples: NamedExamples) -> Self {
        let content = vec![("application/json", schema_ref(schema), examples)];
        Self { body: Some(BodySpec { required: true, content, by_hand: Vec::new() }), ..self }
    }

    /// With an optional body.
    pub(crate) fn optional_body(self, schema: &str, examples: NamedExamples) -> Self {
        let mut operation = self.body(schema, examples);
        if let Some(body) = &mut operation.body {
            body.required = false;
        }
        operation
    }

    /// With another response on success.
    pub(crate) fn or(self, answer: ResponseSpec) -> Self {
        Self { other_answer: Some(answer), ..self }
    }

    /// Errors in addition to those that follow from the route.
    pub(crate) fn errors(self, errors: &'static [ErrorCode]) -> Self {
        Self { errors, ..self }
    }
}

impl ResponseSpec {
    /// JSON of a named schema.
    pub(crate) fn json(status: u16, description: &'static str, schema: &str, example: Value) -> Self {
        Self {
            status,
            description,
            content: Some(("application/json", schema_ref(schema), example)),
            headers: json!({}),
        }
    }

    /// Only a status.
    pub(crate) fn empty(status: u16, description: &'static str) -> Self {
        Self { status, description, content: None, headers: json!({}) }
    }

    pub fn text(media_type: &'static str, description: &'static str, example: &str) -> Self {
        let content = Some((media_type, json!({"type": "string"}), json!(example)));
        Self { status: 200, description, content, headers: json!({}) }
    }

    /// With these headers.
    pub(crate) fn headers(self, headers: Value) -> Self {
        Self { headers, ..self }
    }
}

/// Refers to a component.
pub(crate) fn reference(kind: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{kind}/{name}")})
}

pub(crate) fn schema_ref(name: &str) -> Value {
    reference("schemas", name)
}

/// A parameter of the query.
pub(crate) fn query(name: &str, description: &str, schema: Value, example: Value) -> Value {
    json!({"name": name, "in": "query", "required": false, "description": description, "schema": schema, "example": example})
}

/// The header of a response that repeats an earlier one, and the component that describes it.
pub(super) const REPLAY: &str = "Idempotent-Replay";

/// The header with the address of a created resource.
pub(crate) fn location() -> Value {
    json!({"Location": {"description": "The path of the created resource", "required": true, "schema": {"type": "string"}}})
}
