//! What axe-core says about a page.

use serde_json::{Value, json};

use crate::browser::{Browser, THEMES};

const AXE: &str = include_str!("axe.min.js");
const RUN: &str = "return axe.run(document, { resultTypes: ['violations'] }).then(found => found.violations.map(it => ({ \
                   impact: it.impact, rule: it.id, help: it.help, at: it.nodes.slice(0, 4).map(node => node.html + ' | ' + \
                   (node.any[0] || node.all[0] || node.none[0] || {}).message) })))";

/// Fails when something is in the way of whoever reads the page with other means or other eyes.
pub fn check(browser: &Browser, where_: &str) {
    // the page's policy is about what the page brings; the driver's scripts are not its
    browser.script(&format!("if (!window.axe) {{ {AXE} }}"), &json!([]));
    let found = browser.script(RUN, &json!([]));
    let serious = |it: &&Value| matches!(it["impact"].as_str(), Some("serious" | "critical"));
    let violations: Vec<&Value> = found.as_array().unwrap().iter().filter(serious).collect();
    assert!(violations.is_empty(), "{where_}: {violations:#?}");
}

/// Checks what is open now, in each theme.
pub fn check_in_both_themes(browser: &Browser, where_: &str) {
    for theme in THEMES {
        browser.choose_theme(theme);
        check(browser, &format!("{where_}, {theme}"));
    }
}
