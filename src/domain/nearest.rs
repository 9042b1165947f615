//! Suggestions for mistyped words: the known words nearest to an unknown one.

/// At most this many edits between a mistyped word and a suggestion. Larger: suggestions are no longer what was meant.
pub(crate) const MAX_DISTANCE: usize = 3;
/// Longer words get no suggestion; comparing takes time in proportion to the product of both lengths.
const MAX_BYTES: usize = 128;
/// Suggestions for one word.
const MAX_SUGGESTIONS: usize = 3;

/// The known words nearest to this one, if several are equally near; empty when none is near. Case does not matter.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    if word.len() > MAX_BYTES {
        return Vec::new();
    }
    let word = word.to_ascii_lowercase();
    // three edits turn any short word into any other
    let mut least = MAX_DISTANCE.min(word.chars().count() / 3);
    let mut found = Vec::new();
    for candidate in known {
        if candidate.len().abs_diff(word.len()) > 4 * MAX_DISTANCE {
            continue;
        }
        let distance = edit_distance(candidate, &word);
        if distance < least {
            found.clear();
            least = distance;
        }
        if distance == least && found.len() < MAX_SUGGESTIONS {
            found.push(candidate);
        }
    }
    found
}

/// [`nearest`] as the beginning of a message: `did you mean a or b? `, or nothing.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(word, known).as_slice() {
        [] => String::new(),
        found => format!("did you mean {}? ", found.join(" or ")),
    }
}

/// Levenshtein: insertions, deletions and replacements between two texts.
pub(crate) fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, from) in left.chars().enumerate() {
        let mut diagonal = index;
        row[0] = index + 1;
        for (column, &to) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event_types::BUILT_IN;

    #[test]
    fn a_mistyped_word_finds_what_was_meant_and_another_word_finds_nothing() {
        let names = || BUILT_IN.iter().map(|event_type| event_type.name);
        for slip in ["call.complete", "call.compleated", "Call.Completed", "call_completed", "callcompleted"] {
            assert_eq!(nearest(slip, names()), ["call.completed"], "{slip}");
        }
        for other in ["", "x", "abc", "invoice.paid", &"call.completed".repeat(100)] {
            assert_eq!(nearest(other, names()), Vec::<&str>::new(), "{other}");
        }
        assert_eq!(nearest("call.compled", ["call.completed", "call.compiled"]), ["call.compiled"]);
        assert_eq!(did_you_mean("cat.fed", ["bat.fed", "rat.fed"]), "did you mean bat.fed or rat.fed? ");
    }

    #[test]
    fn edits_are_counted() {
        for (left, right, edits) in [("", "", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("é", "e", 1)] {
            assert_eq!(edit_distance(left, right), edits, "{left} {right}");
            assert_eq!(edit_distance(right, left), edits, "{right} {left}");
        }
    }
}
