//! Makes publications into events with ids, bodies and deliveries.

use std::sync::Arc;

use super::operational::OperationalEvent;
use super::publication::Publication;
use crate::domain::ids::{DeliveryId, EndpointId, EventId, IdGenerator};
use crate::domain::subscriptions::Subscriptions;
use crate::domain::time::UnixMillis;
use crate::store::NewEvent;

/// An event with a delivery for every endpoint that subscribes to it.
pub(super) fn assemble(
    publication: &Publication,
    subscriptions: &Subscriptions,
    ids: &mut IdGenerator,
    now: UnixMillis,
) -> NewEvent {
    let endpoints = match publication.only_to {
        Some(id) if subscriptions.is_active(publication.organization_id, id) => vec![id],
        Some(_) => Vec::new(),
        None => subscribers(publication, subscriptions),
    };
    to_endpoints(publication, endpoints, subscriptions, ids, now)
}

/// The same for an operational event; `None` if no endpoint subscribes to it.
pub(super) fn assemble_operational(
    operational: &OperationalEvent,
    subscriptions: &Subscriptions,
    ids: &mut IdGenerator,
    now: UnixMillis,
) -> Option<NewEvent> {
    let mut endpoints = subscribers(&operational.publication, subscriptions);
    endpoints.retain(|endpoint_id| *endpoint_id != operational.about);
    (!endpoints.is_empty()).then(|| to_endpoints(&operational.publication, endpoints, subscriptions, ids, now))
}

fn subscribers(publication: &Publication, subscriptions: &Subscriptions) -> Vec<EndpointId> {
    let channels = publication.labels.as_ref().map_or(&[][..], |labels| &labels.channels);
    subscriptions.matching(publication.organization_id, &publication.event_type, channels, &publication.data)
}

fn to_endpoints(
    publication: &Publication,
    endpoints: Vec<EndpointId>,
    subscriptions: &Subscriptions,
    ids: &mut IdGenerator,
    now: UnixMillis,
) -> NewEvent {
    ids.begin_run(now, 1 + endpoints.len());
    let id = EventId(ids.next(now));
    let deliveries = endpoints.into_iter().map(|endpoint| (DeliveryId(ids.next(now)), endpoint)).collect();
    let shape = subscriptions.body_shape(publication.organization_id);
    let event = Arc::new(publication.event(id, shape, now));
    NewEvent {
        event,
        deliveries,
        labels: publication.labels.clone(),
        idempotency: publication.idempotency.clone(),
        batch: publication.batch.clone(),
    }
}
