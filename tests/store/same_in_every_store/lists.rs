//! Lists of events, of attempts, and of deliveries with their events.

use ringback::domain::delivery::{DeliveryFilter, DeliveryStatus};
use ringback::domain::ids::{DeliveryId, EndpointId, EventId};
use ringback::store::{
    AttemptFilter, AttemptPageRequest, AttemptPosition, AttemptsOf, CodeClass, EventListFilter, EventPageRequest,
    ListFilter, MessagePageRequest, PageEdge, Store,
};

use super::{History, Question};

impl History<'_> {
    /// The filter of the log is used for what it has in common with these lists.
    pub(super) fn lists(&self, store: &dyn Store, question: &Question, filter: &DeliveryFilter) -> Vec<String> {
        let endpoint_id = self.endpoints[question.by_endpoint.unwrap_or(0)];
        let event = self.events.get(question.page).map(|(id, _)| *id);
        let of_event = |id: EventId, at: Option<EndpointId>| AttemptsOf::Event(id, at);
        let of = match (question.limit % 3, event) {
            (0, Some(id)) => of_event(id, None),
            (1, Some(id)) => of_event(id, Some(endpoint_id)),
            _ => AttemptsOf::Endpoint(endpoint_id),
        };
        let deliveries = ListFilter {
            of,
            event_types: filter.event_type.iter().cloned().collect(),
            channel: filter.tag.clone(),
            from: filter.from,
            to: filter.to,
        };
        let class = filter.response_code.map(|(low, _)| CodeClass::Digit(low / 100));
        let attempts = AttemptFilter {
            deliveries: deliveries.clone(),
            succeeded: filter.status.map(|status| status == DeliveryStatus::Success),
            code_class: class.or((question.known == 1).then_some(CodeClass::NoResponse)),
        };
        let (at, limit) = (self.deliveries.iter().rev().nth(question.page), question.limit);
        let delivery_id = at.map_or(DeliveryId(0), |(id, ..)| *id);
        let position = AttemptPosition { delivery_id, number: question.known as u32 };
        let edges = [
            (PageEdge::Newest, PageEdge::Newest),
            (PageEdge::OlderThan(position), PageEdge::OlderThan(delivery_id)),
            (PageEdge::NewerThan(position), PageEdge::NewerThan(delivery_id)),
        ];
        let statuses: Vec<DeliveryStatus> = filter.status.into_iter().collect();
        let mut answers = Vec::new();
        for organization_id in self.organizations {
            for (edge, delivery_edge) in edges {
                let page = AttemptPageRequest { edge, limit, with_response: limit.is_multiple_of(2) };
                answers.push(format!("{:?}", store.attempts(organization_id, &attempts, page).unwrap()));
                let with_body = limit.is_multiple_of(2);
                for (statuses, succeeded) in
                    [(statuses.clone(), None), (statuses.clone(), Some(false)), (Vec::new(), Some(true))]
                {
                    let page = MessagePageRequest { edge: delivery_edge, limit, statuses, succeeded, with_body };
                    answers.push(format!("{:?}", store.messages(organization_id, &deliveries, &page).unwrap()));
                }
            }
            let events = EventListFilter {
                event_types: deliveries.event_types.clone(),
                channel: filter.tag.clone().filter(|_| question.known == 2),
                tag: filter.tag.clone(),
                from: filter.from,
                to: filter.to,
            };
            let event_id = event.unwrap_or(EventId(0));
            for edge in [PageEdge::Newest, PageEdge::OlderThan(event_id), PageEdge::NewerThan(event_id)] {
                let page = EventPageRequest { edge, limit, with_body: limit.is_multiple_of(2) };
                answers.push(format!("{:?}", store.event_list(organization_id, &events, page).unwrap()));
            }
        }
        answers
    }
}
