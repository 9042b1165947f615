//! What axe-core says about a page.

use serde_json::{Value, json};

use crate::browser::{Browser, THEMES};

const AXE: &str = include_str!("axe.min.js");
const RUN: &str = "return axe.run(document, arguments[0]).then(found => found.violations.map(it => ({ \
                   impact: it.impact, rule: it.id, help: it.help, at: it.nodes.slice(0, 4).map(node => node.html + ' | ' + \
                   (node.any[0] || node.all[0] || node.none[0] || {}).message) })))";

/// Fails when something is in the way of whoever reads what is open now with other means or other eyes, in each theme.
pub(crate) fn check(browser: &Browser, what: &str) {
    // the page's policy is about what the page brings; the driver's scripts are not its
    if browser.value("typeof axe") == "undefined" {
        browser.script(AXE, &json!([]));
    }
    for theme in THEMES {
        browser.choose_theme(theme);
        let mut options = json!({"resultTypes": ["violations"]});
        if theme != THEMES[0] {
            // nothing else depends on the theme
            options["runOnly"] = json!(["color-contrast"]);
        }
        let found = browser.script(RUN, &json!([options]));
        let serious = |it: &&Value| matches!(it["impact"].as_str(), Some("serious" | "critical"));
        let violations: Vec<&Value> = found.as_array().unwrap().iter().filter(serious).collect();
        assert!(violations.is_empty(), "{what}, {theme}: {violations:#?}");
    }
}
