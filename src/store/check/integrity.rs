//! What SQLite says about its own file.

use diesel::connection::DefaultLoadingMode;
use diesel::prelude::*;
use diesel::sql_types::Text;

use super::super::sqlite::damage::{WHAT_TO_DO, is_damage};
use super::{CheckReport, Checked};

#[derive(QueryableByName)]
struct Verdict {
    #[diesel(sql_type = Text)]
    integrity_check: String,
}

const RESTORE_FILE: &str = "`ringback check --repair`, with the engine stopped, makes indexes again; anything else it can't, and changes \
                            nothing then: restore a backup. `sqlite3 ringback.db .recover` saves what can be read. The disk or the \
                            memory of this machine may be failing";
const GIVE_BACK: &str = "this does no harm: `ringback check --repair`, with the engine stopped, gives the room back (VACUUM). It needs as \
                         much free room as the database takes";

/// How SQLite names pages that belong to nothing.
const LOST: &str = "never used";
/// Problems that are named, as SQLite does it by itself.
pub(super) const SOME: &str = "100";
/// As many problems as there are: lost pages, which are named first, must not hide others.
pub(super) const ALL: &str = "2147483647";

const WHOLE: &str = "the file is whole (integrity_check)";

/// The report about a file that can't be opened; nothing else can be checked.
pub(in crate::store) fn unreadable(said: String) -> CheckReport {
    let mut whole = Checked::new("", WHOLE, WHAT_TO_DO);
    whole.add(said);
    CheckReport { database: "sqlite", schema: String::from("unknown"), is_in_use: None, checks: vec![whole] }
}

/// What SQLite says about its file.
pub(super) struct Examined {
    /// All that can be read is there.
    pub(super) whole: Checked,
    /// Pages that belong to nothing.
    pub(super) lost: Checked,
}

/// Looks through the file, or through a table with its indexes; `what` is its name, or how many problems are to be named. The
/// schema has no foreign keys, which would be checked apart.
pub(super) fn examine(sqlite: &mut SqliteConnection, what: &str) -> QueryResult<Examined> {
    let mut whole = Checked::new("", WHOLE, RESTORE_FILE);
    let mut lost = Checked::new("", "every page of the file belongs to something", GIVE_BACK);
    let query = diesel::sql_query(format!("PRAGMA integrity_check({what})"));
    let mut read = |verdict: QueryResult<Verdict>| -> QueryResult<()> {
        let said = verdict?.integrity_check;
        let problems = said.lines().map(str::trim).filter(|line| *line != "ok" && !line.starts_with("***"));
        for problem in problems.filter(|line| !line.is_empty()) {
            (if problem.contains(LOST) { &mut lost } else { &mut whole }).add(problem.to_owned());
        }
        Ok(())
    };
    let all = query.load_iter::<Verdict, DefaultLoadingMode>(sqlite);
    match all.and_then(|mut verdicts| verdicts.try_for_each(&mut read)) {
        Ok(()) => {}
        // so damaged that it can't look through it
        Err(diesel::result::Error::DatabaseError(_, said)) if is_damage(said.message()) => {
            whole.add(said.message().to_owned());
        }
        Err(error) => return Err(error),
    }
    Ok(Examined { whole, lost })
}
