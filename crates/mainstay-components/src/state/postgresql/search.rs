//! A query as SQL over JSONB. Values and paths are parameters; nothing of a query stands in the statement itself.

use mainstay_core::state::{Entry, Filter, Page, Query};
use mainstay_core::{Error, Result, codes};
use serde_json::Value;
use tokio_postgres::types::ToSql;

use super::layout::Layout;

/// A statement with its parameters, and what is needed to make a page of its rows.
pub(super) struct Search {
    pub(super) sql: String,
    parameters: Vec<Box<dyn ToSql + Sync + Send>>,
    limit: usize,
    offset: usize,
}

impl Search {
    /// The query; `page` entries where it says no limit. Errors: `INVALID_FIELD` for a token that was never given.
    pub(super) fn new(layout: &Layout, query: &Query, page: usize) -> Result<Self> {
        let offset = query.token.as_ref().map_or(Ok(0), |token| {
            let message = "search by value: its token is none that was given".to_owned();
            token.parse().map_err(|_| Error::new(&codes::INVALID_FIELD, message))
        })?;
        let limit = query.limit.unwrap_or(page).min(page).max(1);
        let mut search = Self { sql: String::new(), parameters: Vec::new(), limit, offset };
        let prefix = search.parameter(query.prefix.clone());
        let condition =
            query.filter.as_ref().map_or_else(|| "true".to_owned(), |filter| search.condition(filter));
        let mut order = String::new();
        for (path, descending) in &query.sort {
            let member = search.member(path);
            order.push_str(&format!("{member} {} NULLS LAST, ", if *descending { "DESC" } else { "ASC" }));
        }
        let one_more = search.parameter(i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1));
        let skipped = search.parameter(i64::try_from(offset).unwrap_or(i64::MAX));
        search.sql = format!(
            "{} AND NOT isbinary AND starts_with(key, {prefix}::text) AND ({condition}) \
             ORDER BY {order}key COLLATE \"C\" LIMIT {one_more}::bigint OFFSET {skipped}::bigint",
            layout.select
        );
        Ok(search)
    }

    /// What the statement is given.
    pub(super) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.parameters.iter().map(|one| one.as_ref() as _).collect()
    }

    /// The page of these rows, of which there is one more where another page follows.
    pub(super) fn page(&self, mut entries: Vec<(String, Entry)>) -> Page {
        let more = entries.len() > self.limit;
        entries.truncate(self.limit);
        Page { entries, token: more.then(|| (self.offset + self.limit).to_string()) }
    }

    /// A parameter's place in the statement.
    fn parameter(&mut self, value: impl ToSql + Sync + Send + 'static) -> String {
        self.parameters.push(Box::new(value));
        format!("${}", self.parameters.len())
    }

    fn member(&mut self, path: &str) -> String {
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        format!("(value #> {}::text[])", self.parameter(path))
    }

    fn value(&mut self, value: &Value) -> String {
        format!("{}::text::jsonb", self.parameter(value.to_string()))
    }

    fn condition(&mut self, filter: &Filter) -> String {
        match filter {
            Filter::Equal(path, value) => self.comparison(path, "=", value),
            Filter::NotEqual(path, value) => self.comparison(path, "<>", value),
            Filter::Greater(path, value) => self.order(path, ">", value),
            Filter::GreaterOrEqual(path, value) => self.order(path, ">=", value),
            Filter::Less(path, value) => self.order(path, "<", value),
            Filter::LessOrEqual(path, value) => self.order(path, "<=", value),
            Filter::In(path, values) => {
                let member = self.member(path);
                let list = self.value(&Value::Array(values.clone()));
                format!("{member} IN (SELECT jsonb_array_elements({list}))")
            }
            Filter::And(all) => self.joined(all, "AND", "true"),
            Filter::Or(any) => self.joined(any, "OR", "false"),
        }
    }

    fn comparison(&mut self, path: &str, operator: &str, value: &Value) -> String {
        let (member, value) = (self.member(path), self.value(value));
        format!("{member} {operator} {value}")
    }

    /// Only values of one type have an order that means something.
    fn order(&mut self, path: &str, operator: &str, value: &Value) -> String {
        let (member, value) = (self.member(path), self.value(value));
        format!("(jsonb_typeof({member}) = jsonb_typeof({value}) AND {member} {operator} {value})")
    }

    fn joined(&mut self, filters: &[Filter], operator: &str, none: &str) -> String {
        let conditions: Vec<String> =
            filters.iter().map(|filter| format!("({})", self.condition(filter))).collect();
        if conditions.is_empty() { none.to_owned() } else { conditions.join(&format!(" {operator} ")) }
    }
}
