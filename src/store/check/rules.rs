//! What has to be true of rows, table by table: the relations that no foreign key enforces, counts that are kept beside what
//! they count, and values that belong together.
//!
//! Rows of a deleted organization are removed in steps: until it is forgotten they may point to what is gone already.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, SmallInt, Text};
use serde_json::Value;

use super::super::StoreResult;
use super::super::connection::AnyConnection;
use super::repair;
use crate::domain::ids::{DeliveryId, EndpointId, EventId, KeyId, TaskId};
use crate::domain::time::UnixMillis;

/// A table that is read page by page.
pub(super) struct Table {
    pub(super) name: &'static str,
    /// Its key, or what that begins with.
    pub(super) key: &'static str,
    /// A key for people.
    pub(super) shown: fn(i64) -> String,
    pub(super) rules: &'static [Rule],
}

/// Something that has to be true of every row.
pub(super) struct Rule {
    pub(super) what: &'static str,
    pub(super) wrong: Find,
    pub(super) repair: Option<Repair>,
    /// For whoever finds a row that is not repaired.
    pub(super) advice: &'static str,
}

/// Repairs rows by their keys; returns what it did, for people.
pub(super) type Repair = fn(&mut AnyConnection, &[i64], UnixMillis) -> StoreResult<Vec<String>>;

/// Which rows are wrong.
pub(super) enum Find {
    /// A condition on `t`.
    Where(&'static str),
    /// What no condition can say, for a range of keys.
    By(fn(&mut AnyConnection, (i64, i64)) -> StoreResult<Vec<i64>>),
}

/// What `--repair` does about it.
const REPAIRABLE: &str = "stop the engine and run `ringback check --repair`";
/// What it can't.
const RESTORE: &str =
    "this is not repaired by itself: restore a backup from before, or report it with the version";

pub(super) const TABLES: &[Table] = &[
    Table {
        name: "endpoints",
        key: "id",
        shown: |id| EndpointId(id).to_string(),
        rules: &[
            Rule {
                what: "a webhook has an address and a secret, a deleted one neither",
                wrong: Find::Where(
                    "(t.deleted_at IS NULL AND (t.url = '' OR length(t.secret) = 0)) \
                     OR (t.deleted_at IS NOT NULL AND (t.url <> '' OR length(t.secret) > 0))",
                ),
                repair: None,
                advice: RESTORE,
            },
            Rule {
                what: "its settings can be read",
                wrong: Find::By(unreadable_settings),
                repair: None,
                advice: RESTORE,
            },
            Rule {
                what: "a webhook that was disabled has a time and a reason",
                wrong: Find::Where(
                    "(t.disabled_at IS NULL) <> (t.disabled_reason IS NULL) OR (t.active AND t.disabled_at IS NOT NULL)",
                ),
                repair: None,
                advice: "activate or deactivate the webhook once through the API",
            },
        ],
    },
    Table {
        name: "endpoint_health",
        key: "endpoint_id",
        shown: |id| EndpointId(id).to_string(),
        rules: &[Rule {
            what: "the health is of a webhook that exists",
            wrong: Find::Where(
                "NOT EXISTS (SELECT 1 FROM endpoints e WHERE e.id = t.endpoint_id AND e.deleted_at IS NULL)",
            ),
            repair: Some(repair::delete_health),
            advice: REPAIRABLE,
        }],
    },
    Table {
        name: "endpoint_failures",
        key: "endpoint_id",
        shown: |id| EndpointId(id).to_string(),
        rules: &[Rule {
            what: "the last failure is of a webhook that exists",
            wrong: Find::Where(
                "NOT EXISTS (SELECT 1 FROM endpoints e WHERE e.id = t.endpoint_id AND e.deleted_at IS NULL)",
            ),
            repair: Some(repair::delete_failures),
            advice: REPAIRABLE,
        }],
    },
    Table {
        name: "events",
        key: "id",
        shown: |id| EventId(id).to_string(),
        rules: &[
            Rule {
                what: "its deliveries come after it",
                wrong: Find::Where("t.last_delivery_id < t.id OR t.delivery_count < 0"),
                repair: None,
                advice: RESTORE,
            },
            Rule {
                // of a wide event that is old enough, retention removes some deliveries before the others: when none is pending
                what: "its count of deliveries is that of the rows",
                wrong: Find::Where(COUNT_OF_DELIVERIES),
                repair: Some(repair::count_deliveries),
                advice: REPAIRABLE,
            },
        ],
    },
    Table {
        name: "event_labels",
        key: "event_id",
        shown: |id| EventId(id).to_string(),
        rules: &[
            Rule {
                what: "a label is of an event that exists",
                wrong: Find::Where("NOT EXISTS (SELECT 1 FROM events e WHERE e.id = t.event_id)"),
                repair: Some(repair::delete_labels),
                advice: REPAIRABLE,
            },
            Rule {
                what: "it is of a kind that is known",
                wrong: Find::Where("t.kind NOT BETWEEN 0 AND 4"),
                repair: None,
                advice: RESTORE,
            },
        ],
    },
    DELIVERIES,
    Table {
        name: "attempts",
        key: "delivery_id",
        shown: |id| DeliveryId(id).to_string(),
        rules: &[
            Rule {
                what: "an attempt is of a delivery that exists",
                wrong: Find::Where("NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.id = t.delivery_id)"),
                repair: Some(repair::delete_attempts),
                advice: REPAIRABLE,
            },
            Rule {
                what: "it is of the organization of its delivery, and has a number",
                wrong: Find::Where(
                    "t.number < 1 OR EXISTS (SELECT 1 FROM deliveries d WHERE d.id = t.delivery_id \
                     AND d.organization_id <> t.organization_id)",
                ),
                repair: None,
                advice: RESTORE,
            },
        ],
    },
    Table {
        name: "api_keys",
        key: "id",
        shown: |id| KeyId(id).to_string(),
        rules: &[Rule {
            what: "a key has a role that is known",
            wrong: Find::Where("t.role NOT IN ('publisher', 'viewer', 'manager', 'owner', 'admin')"),
            repair: None,
            advice: "delete the key and make another",
        }],
    },
    Table {
        name: "svix_tasks",
        key: "id",
        shown: |id| TaskId(id).to_string(),
        rules: &[Rule {
            what: "a background task has a kind and a status that are known",
            wrong: Find::Where("t.kind NOT BETWEEN 0 AND 2 OR t.status NOT BETWEEN 0 AND 2 OR t.sent < 0"),
            repair: None,
            advice: RESTORE,
        }],
    },
    Table {
        name: "setting_changes",
        key: "number",
        shown: |number| format!("change {number}"),
        rules: &[Rule {
            what: "no change of settings has a number that is to come",
            wrong: Find::Where("t.number > (SELECT c.value FROM counters c WHERE c.name = 'setting_changes')"),
            repair: None,
            advice: RESTORE,
        }],
    },
    Table {
        name: "delivery_statistics",
        key: "period_start",
        shown: |start| UnixMillis(start).to_string(),
        rules: &[
            Rule {
                what: "counts are of an organization that exists, and not negative",
                wrong: Find::Where(
                    "t.succeeded < 0 OR t.failed < 0 OR t.retried < 0 \
                     OR NOT (EXISTS (SELECT 1 FROM organizations o WHERE o.id = t.organization_id) \
                             OR EXISTS (SELECT 1 FROM deleted_organizations o WHERE o.id = t.organization_id))",
                ),
                repair: None,
                advice: "it does no harm: retention removes it",
            },
            Rule {
                // the oldest period may be half removed, as that of a deleted organization
                what: "the sum of an organization is that of its webhooks",
                wrong: Find::Where(
                    "t.endpoint_id = 0 AND t.period_start > (SELECT min(s.period_start) FROM delivery_statistics s) \
                     AND EXISTS (SELECT 1 FROM organizations o WHERE o.id = t.organization_id) \
                     AND t.succeeded + t.failed + t.retried <> (SELECT coalesce(sum(s.succeeded + s.failed + s.retried), 0) \
                     FROM delivery_statistics s WHERE s.period_start = t.period_start \
                     AND s.organization_id = t.organization_id AND s.endpoint_id <> 0 AND s.node = t.node)",
                ),
                repair: None,
                advice: "charts of that period are wrong; retention removes it",
            },
        ],
    },
];

const DELIVERIES: Table = Table {
    name: "deliveries",
    key: "id",
    shown: |id| DeliveryId(id).to_string(),
    rules: &[
        Rule {
            what: "a delivery is of an event that exists",
            wrong: Find::Where(
                "NOT EXISTS (SELECT 1 FROM events e WHERE e.id = t.event_id) \
                 AND NOT EXISTS (SELECT 1 FROM deleted_organizations o WHERE o.id = t.organization_id)",
            ),
            repair: Some(repair::deliveries_without_event),
            advice: REPAIRABLE,
        },
        Rule {
            what: "it is of the organization of its event",
            wrong: Find::Where(
                "EXISTS (SELECT 1 FROM events e WHERE e.id = t.event_id AND e.organization_id <> t.organization_id)",
            ),
            repair: None,
            advice: RESTORE,
        },
        Rule {
            what: "it is for a webhook that exists, or is kept as a name",
            wrong: Find::Where(
                "NOT EXISTS (SELECT 1 FROM endpoints e WHERE e.id = t.endpoint_id) \
                 AND NOT EXISTS (SELECT 1 FROM deleted_organizations o WHERE o.id = t.organization_id)",
            ),
            repair: Some(repair::deliveries_without_webhook),
            advice: REPAIRABLE,
        },
        Rule {
            what: "its status is known, and only an ended one has a time of its end",
            wrong: Find::Where(
                "t.status NOT BETWEEN 0 AND 3 OR (t.status = 0 AND t.finished_at IS NOT NULL) \
                 OR (t.status <> 0 AND t.finished_at IS NULL)",
            ),
            repair: None,
            advice: RESTORE,
        },
        Rule {
            what: "a success has a response of 2xx",
            wrong: Find::Where(
                "t.status = 1 AND (t.response_code IS NULL OR t.response_code NOT BETWEEN 200 AND 299)",
            ),
            repair: None,
            advice: RESTORE,
        },
        Rule {
            what: "an attempt in its row is whole",
            wrong: Find::Where(
                "(t.attempt_started_at IS NULL) <> (t.attempt_duration_ms IS NULL) \
                 OR (t.attempt_started_at IS NULL) <> (t.attempt_detail IS NULL)",
            ),
            repair: None,
            advice: RESTORE,
        },
        Rule {
            what: "its count of attempts is that of the rows",
            wrong: Find::Where(
                "t.attempt_count <> (SELECT count(*) FROM attempts a WHERE a.delivery_id = t.id) \
                 + CASE WHEN t.attempt_started_at IS NULL THEN 0 ELSE 1 END",
            ),
            repair: Some(repair::count_attempts),
            advice: "one that is too low is set right by `ringback check --repair`, with the engine stopped; one that is too high stays, \
                     and does no harm: attempts were lost, and their numbers may have been sent",
        },
        Rule {
            what: "it is in the partition of its webhook",
            wrong: Find::By(wrong_partition),
            repair: Some(repair::partitions),
            advice: REPAIRABLE,
        },
    ],
};

const COUNT_OF_DELIVERIES: &str = "
    t.delivery_count < (SELECT count(*) FROM deliveries d WHERE d.id > t.id AND d.id <= t.last_delivery_id
                        AND d.event_id = t.id AND NOT d.replayed)
    OR (t.delivery_count > (SELECT count(*) FROM deliveries d WHERE d.id > t.id AND d.id <= t.last_delivery_id
                            AND d.event_id = t.id AND NOT d.replayed)
        AND EXISTS (SELECT 1 FROM deliveries d WHERE d.id > t.id AND d.id <= t.last_delivery_id
                    AND d.event_id = t.id AND NOT d.replayed AND d.status = 0)
        AND NOT EXISTS (SELECT 1 FROM deleted_organizations o WHERE o.id = t.organization_id))";

#[derive(QueryableByName)]
struct SettingsRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    events: String,
    #[diesel(sql_type = Text)]
    retry: String,
    #[diesel(sql_type = Text)]
    retry_on: String,
    #[diesel(sql_type = Nullable<Text>)]
    filters: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    rate_limit: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    channels: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    metadata: Option<String>,
}

/// The engine reads all webhooks when it starts: one that it can't read keeps it from starting.
fn unreadable_settings(connection: &mut AnyConnection, (after, last): (i64, i64)) -> StoreResult<Vec<i64>> {
    let rows: Vec<SettingsRow> = diesel::sql_query(format!(
        "SELECT id, events, retry, retry_on, filters, rate_limit, channels, metadata FROM endpoints \
         WHERE id > {after} AND id <= {last} AND deleted_at IS NULL ORDER BY id"
    ))
    .load(connection)?;
    let is_json = |text: &String| serde_json::from_str::<Value>(text).is_ok();
    let is_readable = |row: &SettingsRow| {
        let optional = [&row.filters, &row.rate_limit, &row.channels, &row.metadata];
        [&row.events, &row.retry, &row.retry_on].into_iter().all(is_json)
            && optional.into_iter().flatten().all(is_json)
    };
    Ok(rows.iter().filter(|row| !is_readable(row)).map(|row| row.id).collect())
}

#[derive(QueryableByName)]
struct PartitionRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    endpoint_id: i64,
    #[diesel(sql_type = SmallInt)]
    partition: i16,
}

fn wrong_partition(connection: &mut AnyConnection, (after, last): (i64, i64)) -> StoreResult<Vec<i64>> {
    let rows: Vec<PartitionRow> = diesel::sql_query(format!(
        "SELECT id, endpoint_id, partition FROM deliveries WHERE id > {after} AND id <= {last} ORDER BY id"
    ))
    .load(connection)?;
    let is_wrong = |row: &&PartitionRow| EndpointId(row.endpoint_id).partition() != row.partition;
    Ok(rows.iter().filter(is_wrong).map(|row| row.id).collect())
}
