//! `/v1/catalogue`.

use serde_json::json;

use super::operation::{Operation, ResponseSpec, location};
use super::schemas::page;
use super::schemas_events::event_type_example;
use crate::api::problem::ErrorCode::{Conflict, LimitReached, ReservedEventType, ValidationFailed};

const TAG: &str = "Catalogue";
const ALL: &str = "/v1/catalogue/event-types";
const ONE: &str = "/v1/catalogue/event-types/{event_type}";

/// What is written down about it.
pub(crate) fn operations() -> Vec<Operation> {
    let one = |status, text| ResponseSpec::json(status, text, "EventType", event_type_example());
    let sample = json!({"invoice_id": "inv_1", "amount": 45.2});
    vec![
        Operation::new(
            ("GET", ALL),
            "listCatalogue",
            TAG,
            ResponseSpec::json(200, "All of them on one page", "CatalogueTypes", page(event_type_example())),
        )
        .about("List the catalogue", "The event types of all organizations, archived ones too.")
        .errors(&[ValidationFailed]),
        Operation::new(("POST", ALL), "addToCatalogue", TAG, one(201, "Added").headers(location()))
            .about(
                "Add to the catalogue",
                "From now on every organization can publish it, and webhooks can subscribe to it.",
            )
            .body(
                "NewEventType",
                vec![
                    ("A name", json!({"name": "invoice.paid"})),
                    ("With a sample", json!({"name": "invoice.paid", "description": "An invoice was paid", "sample": sample})),
                ],
            )
            .errors(&[Conflict, LimitReached, ReservedEventType]),
        Operation::new(("GET", ONE), "readCatalogue", TAG, one(200, "The type"))
            .about("Read a type of the catalogue", "With its sample and schema."),
        Operation::new(("PUT", ONE), "putCatalogue", TAG, one(200, "As it is now"))
            .or(one(201, "Added"))
            .about(
                "Set a type of the catalogue",
                "Adds it, or makes it what the body says; what is not given is as in a new one. Built-in types can be changed like others.",
            )
            .optional_body("EventTypeChange", vec![("With a description", json!({"description": "An invoice was paid"}))])
            .errors(&[LimitReached, ReservedEventType]),
        Operation::new(("PATCH", ONE), "updateCatalogue", TAG, one(200, "As it is now"))
            .about("Change a type of the catalogue", "Only the fields that are given.")
            .body("EventTypeChange", vec![("Archive it", json!({"archived": true}))])
            .errors(&[LimitReached]),
        Operation::new(("DELETE", ONE), "removeFromCatalogue", TAG, ResponseSpec::empty(204, "Removed")).about(
            "Remove from the catalogue",
            "Events of this type are refused from now on; published ones stay, and so do subscriptions to it. Archive it instead to \
             go on accepting it.",
        ).errors(&[Conflict]),
    ]
}
