//! The channels, tags and times of a commit's events.

use std::borrow::Cow;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::AstPass;
use diesel::sql_types::{Array, BigInt, SmallInt, Text};

use super::super::super::NewEvent;
use super::super::super::label_rows::{self, LabelRow};
use super::bind;
use super::conditions::Conditions;

pub(super) struct LabelArrays<'a> {
    event_id: Vec<i64>,
    kind: Vec<i16>,
    place: Vec<i16>,
    organization_id: Vec<i64>,
    label: Vec<Cow<'a, str>>,
}

impl<'a> LabelArrays<'a> {
    pub(super) fn of(stored: &'a [&NewEvent]) -> Self {
        let rows: Vec<LabelRow<'a>> = stored.iter().flat_map(|new| label_rows::rows(new)).collect();
        Self {
            event_id: rows.iter().map(|row| row.event_id).collect(),
            kind: rows.iter().map(|row| row.kind).collect(),
            place: rows.iter().map(|row| row.place).collect(),
            organization_id: rows.iter().map(|row| row.organization_id).collect(),
            label: rows.into_iter().map(|row| row.label).collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.event_id.is_empty()
    }

    pub(super) fn push<'b>(&'b self, conditions: Conditions, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "new_label AS (INSERT INTO event_labels (event_id, kind, place, organization_id, label) SELECT * FROM UNNEST(",
        );
        bind::<Array<BigInt>, _>(out, "", &self.event_id)?;
        bind::<Array<SmallInt>, _>(out, ", ", &self.kind)?;
        bind::<Array<SmallInt>, _>(out, ", ", &self.place)?;
        bind::<Array<BigInt>, _>(out, ", ", &self.organization_id)?;
        bind::<Array<Text>, _>(out, ", ", &self.label)?;
        out.push_sql(") AS new (event_id, kind, place, organization_id, label)");
        conditions.push_for_events("event_id", out);
        out.push_sql("), ");
        Ok(())
    }
}
