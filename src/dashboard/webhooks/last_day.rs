//! The activity of the last day, for the list of webhooks.

use std::collections::HashMap;

use maud::{Markup, html};

use crate::api::Api;
use crate::api::problem::Problem;
use crate::dashboard::activity::{Activity, ChartRange};
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::statistics::PeriodStatistics;
use crate::domain::time::UnixMillis;

/// For each of these webhooks, in the same order.
pub(crate) async fn activity(
    api: &Api,
    organization_id: OrganizationId,
    ids: Vec<EndpointId>,
    now: UnixMillis,
) -> Result<Vec<Activity>, Problem> {
    let (range, asked) = (ChartRange::Day, ids.clone());
    let counted = api.engine().statistics();
    let counted = api
        .read(organization_id, move |store| counted.of_endpoints(store, organization_id, &asked, range.since(now)))
        .await?;
    let mut by_webhook: HashMap<EndpointId, Vec<PeriodStatistics>> = HashMap::new();
    for (id, period) in counted {
        by_webhook.entry(id).or_default().push(period);
    }
    let of = |id: &EndpointId| Activity::of(range, by_webhook.get(id).into_iter().flatten(), now);
    Ok(ids.iter().map(of).collect())
}

pub(crate) fn show(activity: &Activity) -> Markup {
    let ended = activity.total.succeeded + activity.total.failed;
    html! {
        span.activity {
            @if activity.total.attempts() == 0 { span.dim { "none" } }
            @else if ended == 0 { strong { "no success" } }
            @else { strong { (activity.rate()) } }
            (activity.spark())
        }
    }
}
