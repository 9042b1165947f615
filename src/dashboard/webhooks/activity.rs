//! What webhooks did in the last day, for their list.

use std::time::Duration;

use maud::{Markup, html};

use crate::api::Api;
use crate::api::problem::Problem;
use crate::dashboard::charts;
use crate::dashboard::parts::{count, percent};
use crate::domain::delivery::DeliveryStatus;
use crate::domain::health::FinishedDelivery;
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::time::UnixMillis;

const HOURS: usize = 24;
const HOUR: Duration = Duration::from_secs(3_600);
/// Deliveries of each webhook that are looked at.
const MAX_SAMPLES: usize = 200;

/// Of one webhook: deliveries that succeeded and that failed in each hour, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity([(u64, u64); HOURS]);

/// Of each of these webhooks, in their order.
pub async fn activity(
    api: &Api,
    organization_id: OrganizationId,
    ids: Vec<EndpointId>,
    now: UnixMillis,
) -> Result<Vec<Activity>, Problem> {
    let since = now - HOUR * HOURS as u32;
    let read = move |store: &dyn crate::store::Store| {
        let recent = |id: &EndpointId| store.recent_deliveries(organization_id, Some(*id), since, MAX_SAMPLES);
        ids.iter().map(|id| Ok(Activity::of(&recent(id)?, now))).collect()
    };
    api.store(read).await
}

impl Activity {
    fn of(finished: &[FinishedDelivery], now: UnixMillis) -> Self {
        let mut hours = [(0, 0); HOURS];
        for delivery in finished {
            let ago = now.since(delivery.finished_at).as_secs() / HOUR.as_secs();
            let Some(hour) = (HOURS - 1).checked_sub(ago as usize).and_then(|at| hours.get_mut(at)) else {
                continue;
            };
            match delivery.status {
                DeliveryStatus::Success => hour.0 += 1,
                _ => hour.1 += 1,
            }
        }
        Self(hours)
    }

    /// The rate as a number and the hours as bars.
    pub fn show(&self) -> Markup {
        let good: u64 = self.0.iter().map(|(good, _)| good).sum();
        let bad: u64 = self.0.iter().map(|(_, bad)| bad).sum();
        let summary =
            format!("{} succeeded and {} failed in the last 24 hours", count(good, "delivery", "deliveries"), bad);
        html! {
            span.activity {
                @if good + bad == 0 { span.dim { "none" } } @else { strong { (percent(good, good + bad)) } }
                (charts::spark(&summary, &self.0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_stand_in_the_hour_in_which_they_ended() {
        let now = UnixMillis(100 * 3_600_000);
        let ended =
            |status, hours: u32| FinishedDelivery { status, finished_at: now - HOUR * hours, last_duration_ms: 1 };
        let (good, bad) = (DeliveryStatus::Success, DeliveryStatus::Failed);
        let Activity(hours) = Activity::of(&[ended(good, 0), ended(bad, 0), ended(bad, 23), ended(good, 24)], now);
        assert_eq!((hours[23], hours[0]), ((1, 1), (0, 1)));
        assert_eq!(hours.iter().map(|(good, bad)| good + bad).sum::<u64>(), 3);
        assert!(Activity(hours).show().into_string().contains("33.3 %"));
    }
}
