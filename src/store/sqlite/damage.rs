//! What SQLite says of a file that is damaged.

/// What to do about a file that can't be opened.
pub(in crate::store) const WHAT_TO_DO: &str = "restore a backup. `sqlite3 FILE .recover` saves what can be read. The disk or the \
                                               memory of this machine may be failing";

/// Whether an error's text is that of a database with damage in it (`SQLITE_CORRUPT`).
pub(in crate::store) fn is_corrupt(said: &str) -> bool {
    said.contains("malformed")
}

/// The same, or that of a file whose beginning is no database's (`SQLITE_NOTADB`), which of one that has been read is damage too.
pub(in crate::store) fn is_damage(said: &str) -> bool {
    is_corrupt(said) || said.contains("file is not a database")
}
