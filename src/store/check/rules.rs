//! What has to be true of rows, table by table: the relations that no foreign key enforces, counts that are kept beside what
//! they count, and values that belong together.
//!
//! Rows of a deleted organization are removed in steps: until it is forgotten they may point to what is gone already.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, SmallInt, Text};
use serde_json::Value;

use super::super::StoreResult;
use super::super::cipher::Cipher;
use super::super::connection::AnyConnection;
use super::{CheckTerms, Wrong, content, master_key, missing, repair, statistics};
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

/// Looks at the rows of a page, with what it needs to know beside them.
type Looks<T> = fn(&mut AnyConnection, &T, (i64, i64)) -> StoreResult<Vec<Wrong>>;

/// Which rows are wrong.
pub(super) enum Find {
    /// A condition on `t`.
    Where(&'static str),
    /// What no condition can say, for a range of keys: those after the first, up to the second.
    By(Looks<CheckTerms>),
    /// The same, of what is encrypted; left out without the master key.
    WithKey(Looks<Cipher>),
}

/// What `--repair` does about it.
const REPAIRABLE: &str = "stop the engine and run `ringback check --repair`";
/// What it can't.
const RESTORE: &str =
    "this is not repaired by itself: restore a backup from before, or report it with the version";

/// Headers and response are for people; whether a delivery is sent again does not depend on them.
const UNREADABLE_ATTEMPT: &str = "the log can't show this attempt; nothing else depends on it. Restore a backup from before, or leave it to retention";

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
                what: "its secrets can be decrypted with the master key",
                wrong: Find::WithKey(master_key::unreadable),
                repair: None,
                advice: "the engine does not start with a webhook that it can't read: restore a backup from before, or delete the row of \
                         the webhook and make another with a new secret",
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
                wrong: Find::Where("t.last_delivery_id < t.id"),
                repair: None,
                advice: RESTORE,
            },
            Rule {
                what: "its count of deliveries is that of the rows, and none of them is missing",
                wrong: Find::By(missing::deliveries),
                repair: Some(repair::count_deliveries),
                advice: "what is missing can't be made again: whether it was delivered is unknown. Restore a backup, or publish it again with \
                         `ringback events replay`, and set the count right with `ringback check --repair` while the engine is stopped",
            },
            Rule {
                what: "its payload is JSON",
                wrong: Find::By(content::unreadable_bodies),
                repair: None,
                advice: "receivers get it as it is, and the dashboard can't show it: restore a backup from before, or erase the payload with \
                         `DELETE /v1/events/{id}/payload`",
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
                what: "its headers and its response can be unpacked",
                wrong: Find::By(content::unreadable_attempts),
                repair: None,
                advice: UNREADABLE_ATTEMPT,
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
                what: "counts are of an organization that exists",
                wrong: Find::Where(
                    "NOT EXISTS (SELECT 1 FROM organizations o WHERE o.id = t.organization_id) \
                     AND NOT EXISTS (SELECT 1 FROM deleted_organizations o WHERE o.id = t.organization_id)",
                ),
                repair: Some(statistics::delete_of_none),
                advice: REPAIRABLE,
            },
            Rule {
                what: "no count is negative",
                wrong: Find::Where("t.succeeded < 0 OR t.failed < 0 OR t.retried < 0"),
                repair: Some(statistics::raise_to_zero),
                advice: REPAIRABLE,
            },
            Rule {
                what: "its durations can be read",
                wrong: Find::By(statistics::unreadable_durations),
                repair: Some(statistics::forget_durations),
                advice: REPAIRABLE,
            },
            Rule {
                what: "the sums of an organization are those of its webhooks",
                wrong: Find::By(statistics::wrong_sums),
                repair: Some(statistics::add_up),
                advice: REPAIRABLE,
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
            what: "the headers and the response of an attempt in its row can be unpacked",
            wrong: Find::By(content::unreadable_own_attempts),
            repair: None,
            advice: UNREADABLE_ATTEMPT,
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
fn unreadable_settings(
    connection: &mut AnyConnection,
    _: &CheckTerms,
    (after, last): (i64, i64),
) -> StoreResult<Vec<Wrong>> {
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
    Ok(rows.iter().filter(|row| !is_readable(row)).map(|row| row.id.into()).collect())
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

fn wrong_partition(
    connection: &mut AnyConnection,
    _: &CheckTerms,
    (after, last): (i64, i64),
) -> StoreResult<Vec<Wrong>> {
    let rows: Vec<PartitionRow> = diesel::sql_query(format!(
        "SELECT id, endpoint_id, partition FROM deliveries WHERE id > {after} AND id <= {last} ORDER BY id"
    ))
    .load(connection)?;
    let is_wrong = |row: &&PartitionRow| EndpointId(row.endpoint_id).partition() != row.partition;
    Ok(rows.iter().filter(is_wrong).map(|row| row.id.into()).collect())
}
