//! Pictures of the pages for the documentation; made when a folder is named.

use std::f64::consts::TAU;
use std::ops::Range;
use std::path::{Path, PathBuf};

use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Binary};
use diesel::{Connection, RunQueryDsl, SqliteConnection};
use ringback::domain::statistics::{LatencyCounts, PeriodCounts};
use test_support::engine::ADMIN_KEY;

use crate::browser::{Browser, WIDTHS, button, css};
use crate::browser_on;
use crate::seed::Seed;
use crate::site::Site;

/// The folder to write them to.
const FOLDER: &str = "RINGBACK_SCREENSHOTS";
const PERIOD_MS: i64 = 300_000;
const TALLEST: u32 = 1_200;

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
    let seed = Seed::plant(&site);
    browser.sign_in(site.owner.key());
    browser.open(&format!("/webhooks/{}/test", seed.healthy));
    browser.click(&button("Send test event"));
    browser.has(&css("#result [role=status]"));
    write(&browser, &folder, "test-event", "light", WIDTHS[0]);
    browser.click(&button("Sign out"));
    browser.reads(&css("h1"), "Sign in");
    write(&browser, &folder, "sign-in", "light", WIDTHS[0]);
    site.end();
    remember_a_week(&site.database());
    site.start_again();
    browser.sign_in(site.owner.key());
    for (page, theme, width) in pages(&seed) {
        picture(&browser, &folder, page, theme, width);
    }
    browser.click(&button("Sign out"));
    browser.reads(&css("h1"), "Sign in");
    browser.sign_in(ADMIN_KEY);
    let organizations = ("organizations", "/organizations".to_owned());
    picture(&browser, &folder, organizations, "light", WIDTHS[0]);
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
        (page("webhook", format!("/webhooks/{}", seed.healthy)), "light", desk),
        (page("webhook-form", "/webhooks/new".to_owned()), "light", desk),
        (page("logs", "/logs".to_owned()), "light", desk),
        (page("logs", "/logs".to_owned()), "dark", phone),
        (page("delivery", format!("/logs/{}", seed.pending)), "dark", desk),
        (page("events", "/events".to_owned()), "light", desk),
        (page("publish", "/events/new".to_owned()), "light", desk),
        (page("event", format!("/events/{}", seed.event)), "light", desk),
        (page("event-types", "/event-types".to_owned()), "dark", desk),
        (page("keys", "/keys".to_owned()), "light", desk),
    ]
}

fn picture(browser: &Browser, folder: &Path, (name, path): Page<'_>, theme: &str, width: u32) {
    browser.resize(width);
    browser.open(&path);
    browser.choose_theme(theme);
    write(browser, folder, name, theme, width);
}

/// Of what is open now.
fn write(browser: &Browser, folder: &Path, name: &str, theme: &str, width: u32) {
    let width_name = if width == WIDTHS[1] { "-phone" } else { "" };
    let name = format!("{name}{width_name}-{theme}.png");
    std::fs::write(folder.join(name), browser.picture(width, TALLEST)).unwrap();
    browser.has_no_complaints();
}

/// What a webhook of the seed would have behind it.
struct Past {
    /// How its description begins.
    description: &'static str,
    url: &'static str,
    /// Of all deliveries, in percent.
    share: i64,
    /// For so many periods it has had nothing.
    silent: i64,
    /// So many periods ago, its receiver was in trouble.
    trouble: Range<i64>,
}

const PASTS: [Past; 4] = [
    Past {
        description: "CRM",
        url: "https://crm.example.com/hooks/ringback",
        share: 62,
        silent: 0,
        trouble: 30..42,
    },
    Past { description: "Data", url: "https://warehouse.example.net/calls", share: 11, silent: 0, trouble: 1..9 },
    Past {
        description: "Billing",
        url: "https://billing.example.com/hooks",
        share: 19,
        silent: 8,
        trouble: 8..20,
    },
    Past { description: "Old", url: "https://old-crm.example.com/", share: 8, silent: 150, trouble: 150..160 },
];

/// Gives an organization that is minutes old a week of statistics, with busy days and some bad hours, and its
/// webhooks the addresses that they would have.
fn remember_a_week(database: &str) {
    let mut connection = SqliteConnection::establish(database).unwrap();
    for Past { description, url, .. } in &PASTS {
        let sql = format!("UPDATE endpoints SET url = '{url}' WHERE description LIKE '{description}%'");
        connection.batch_execute(&sql).unwrap();
    }
    for period in 1..7 * 288 {
        let mut sum = PeriodCounts::default();
        for past in &PASTS {
            let counts = past.counts(period);
            remember(&mut connection, period, past.description, &counts);
            sum.merge(&counts);
        }
        remember(&mut connection, period, "the organization", &sum);
    }
}

impl Past {
    fn counts(&self, period: i64) -> PeriodCounts {
        let hours = period as f64 / 12.0;
        let day = 1.0 + (TAU * (hours - 6.0) / 24.0).cos();
        let all = if period < self.silent { 0 } else { (20.0 + 60.0 * day) as i64 + (period * 7919) % 17 };
        let (all, is_bad) = (all * self.share / 100, self.trouble.contains(&period));
        let (succeeded, failed, retried) = match is_bad {
            true => (all / 4, all / 7, all),
            false => (all, i64::from(all > 0 && (period + self.share) % 40 == 0), all / 25),
        };
        let mut latency = LatencyCounts::default();
        for number in 0..(succeeded + failed + retried) {
            let slow = if is_bad { 240 } else { 0 } + if (number + period) % 41 == 0 { 280 } else { 0 };
            latency.record((38 + (number * 53 + period * 17) % 60 + slow) as u64);
        }
        let [succeeded, failed, retried] = [succeeded, failed, retried].map(i64::unsigned_abs);
        PeriodCounts { succeeded, failed, retried, latency }
    }
}

/// Of the webhook whose description begins like this, or of the organization.
fn remember(connection: &mut SqliteConnection, period: i64, description: &str, counts: &PeriodCounts) {
    let insert = format!(
        "INSERT INTO delivery_statistics SELECT max(period_start) - ?, organization_id, \
         coalesce((SELECT id FROM endpoints WHERE description LIKE '{description}%'), 0), ?, ?, ?, ?, max(node) \
         FROM delivery_statistics GROUP BY organization_id"
    );
    let mut insert = diesel::sql_query(insert).into_boxed().bind::<BigInt, _>(period * PERIOD_MS);
    for count in [counts.succeeded, counts.failed, counts.retried] {
        insert = insert.bind::<BigInt, _>(count as i64);
    }
    insert.bind::<Binary, _>(counts.latency.encode()).execute(connection).unwrap();
}
