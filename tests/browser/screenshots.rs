//! Pictures of the pages for the documentation; made when a folder is named.

use std::path::{Path, PathBuf};

use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Binary};
use diesel::{Connection, RunQueryDsl, SqliteConnection};
use ringback::domain::statistics::LatencyCounts;

use crate::browser::{Browser, WIDTHS};
use crate::browser_on;
use crate::seed::Seed;
use crate::site::Site;

/// The folder to write them to.
const FOLDER: &str = "RINGBACK_SCREENSHOTS";
const PERIOD_MS: i64 = 300_000;
const TALLEST: u32 = 1_400;

/// A page of it: its name, its path, and what has to be there.
type Page<'a> = (&'a str, String);

#[test]
fn screenshots() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    std::fs::create_dir_all(&folder).unwrap();
    let folder = PathBuf::from(folder);
    let mut site = Site::with(|serve| serve.set("RINGBACK_DELIVERY_BREAKER_INITIAL_PAUSE_SECONDS", "500"));
    let browser = browser_on!(site);
    browser.devtools("Emulation.setScrollbarsHidden", serde_json::json!({"hidden": true}));
    picture(&browser, &folder, ("sign-in", "/sign-in".to_owned()), "light", WIDTHS[0]);
    let seed = Seed::plant(&site);
    site.end();
    remember_a_week(&site.database());
    site.start_again();
    browser.sign_in(site.owner.key());
    for (page, theme, width) in pages(&seed) {
        picture(&browser, &folder, page, theme, width);
    }
}

/// What the documentation shows, each with its theme and width.
fn pages(seed: &Seed) -> Vec<(Page<'static>, &'static str, u32)> {
    let [desk, phone] = WIDTHS;
    let page = |name, path: String| (name, path);
    vec![
        (page("overview", "/".to_owned()), "light", desk),
        (page("overview", "/".to_owned()), "dark", desk),
        (page("overview", "/".to_owned()), "light", phone),
        (page("webhooks", "/webhooks".to_owned()), "light", desk),
        (page("webhook", format!("/webhooks/{}", seed.broken)), "light", desk),
        (page("webhook-form", "/webhooks/new".to_owned()), "light", desk),
        (page("test-event", format!("/webhooks/{}/test", seed.healthy)), "light", desk),
        (page("logs", "/logs".to_owned()), "light", desk),
        (page("logs", "/logs".to_owned()), "dark", phone),
        (page("delivery", format!("/logs/{}", seed.pending)), "dark", desk),
        (page("event", format!("/events/{}", seed.event)), "light", desk),
        (page("event-types", "/event-types".to_owned()), "dark", desk),
        (page("keys", "/keys".to_owned()), "light", desk),
    ]
}

fn picture(browser: &Browser, folder: &Path, (name, path): Page<'_>, theme: &str, width: u32) {
    browser.resize(width);
    browser.open(&path);
    if browser.count(&crate::browser::css("#theme")) > 0 {
        browser.choose_theme(theme);
    }
    let name = match width {
        390 => format!("{name}-phone-{theme}.png"),
        _ => format!("{name}-{theme}.png"),
    };
    std::fs::write(folder.join(name), browser.picture(width, TALLEST)).unwrap();
    browser.has_no_complaints();
}

/// Gives an organization that is minutes old a week of statistics, with busy days and one bad hour, and its webhooks
/// the addresses that they would have.
fn remember_a_week(database: &str) {
    let mut connection = SqliteConnection::establish(database).unwrap();
    for (description, url) in [
        ("CRM: every call becomes an activity", "https://crm.example.com/hooks/ringback"),
        ("Data warehouse", "https://warehouse.example.net/ingest/calls"),
        ("Billing", "https://billing.example.com/webhooks"),
        ("Old CRM", "https://old-crm.example.com/callback"),
    ] {
        connection
            .batch_execute(&format!("UPDATE endpoints SET url = '{url}' WHERE description LIKE '{description}%'"))
            .unwrap();
    }
    for period in 1..7 * 288_i64 {
        let hour = (period / 12) % 24;
        // fewer at night; what went wrong is three hours ago
        let busy = 14 + 9 * (12 - (hour - 12).abs()) + (period * 7919) % 23;
        let is_bad = (30..42).contains(&period);
        let (succeeded, failed, retried) = match is_bad {
            true => (busy / 2, busy / 6, busy),
            false => (busy, i64::from(period % 9 == 0), (period * 31) % 4),
        };
        let mut latency = LatencyCounts::default();
        for number in 0..(succeeded + failed + retried) {
            let slow = if is_bad { 240 } else { 0 };
            latency.record(
                (38 + (number * 53 + period * 17) % 60 + slow + if number % 29 == 0 { 310 } else { 0 }) as u64,
            );
        }
        remember(&mut connection, period, [succeeded, failed, retried], &latency.encode());
    }
}

fn remember(connection: &mut SqliteConnection, period: i64, counts: [i64; 3], latency: &[u8]) {
    let insert = "INSERT OR IGNORE INTO delivery_statistics SELECT DISTINCT \
                  (SELECT max(period_start) FROM delivery_statistics) - ?, organization_id, endpoint_id, ?, ?, ?, ? \
                  FROM delivery_statistics";
    let insert = diesel::sql_query(insert).bind::<BigInt, _>(period * PERIOD_MS);
    let insert = insert.bind::<BigInt, _>(counts[0]).bind::<BigInt, _>(counts[1]).bind::<BigInt, _>(counts[2]);
    insert.bind::<Binary, _>(latency).execute(connection).unwrap();
}
