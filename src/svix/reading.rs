//! Long reads of lists with a filter that few rows pass.

use std::time::Duration;

use super::error::SvixError;
use crate::api::Api;
use crate::store::{EdgePage, PageEdge};

/// How often one call reads on. Smaller: lists of rare rows come in more pages. Larger: one call takes more of its
/// organization's turns.
const MOST_STEPS: usize = 100;
/// For how long one call reads on. Smaller: lists of rare rows come in more pages. Larger: their callers wait longer.
const PATIENCE: Duration = Duration::from_secs(2);
/// A page with this many bytes ends. Smaller: pages of large rows have few of them. Larger: a page holds more memory.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// The rows that are wanted.
pub(super) struct Span<P> {
    pub edge: PageEdge<P>,
    /// At most this many.
    pub limit: usize,
}

/// Reads until the rows fill a page or there are no more. One read of the store looks at a bounded number of rows; each takes its
/// turn, and may return fewer than this asks for. `weight`: the bytes of a row.
pub(super) async fn read_on<T, P: Copy>(
    api: &Api,
    span: Span<P>,
    position: impl Fn(&T) -> P,
    weight: impl Fn(&T) -> usize,
    read: impl AsyncFn(PageEdge<P>, usize) -> Result<EdgePage<T, P>, SvixError>,
) -> Result<EdgePage<T, P>, SvixError> {
    let Span { mut edge, limit } = span;
    let goes_forward = matches!(edge, PageEdge::NewerThan(_));
    let until = api.engine().now() + PATIENCE;
    let (mut rows, mut next): (Vec<T>, Option<P>) = (Vec::new(), None);
    for _ in 0..MOST_STEPS {
        // one more than the page has: it shows whether there are more
        let mut found = read(edge, limit + 1 - rows.len()).await?;
        // the newest first, whatever the direction
        match goes_forward {
            true => {
                found.rows.append(&mut rows);
                rows = found.rows;
            }
            false => rows.append(&mut found.rows),
        }
        next = found.next;
        let Some(behind) = next else { break };
        let is_full = rows.len() > limit || rows.iter().map(&weight).sum::<usize>() > MOST_BYTES;
        if is_full || api.engine().now() >= until {
            break;
        }
        edge = if goes_forward { PageEdge::NewerThan(behind) } else { PageEdge::OlderThan(behind) };
    }
    if rows.len() > limit {
        let dropped = if goes_forward { rows.remove(0) } else { rows.remove(limit) };
        let last = if goes_forward { rows.first() } else { rows.last() };
        next = Some(position(last.unwrap_or(&dropped)));
    }
    Ok(EdgePage { rows, next })
}
