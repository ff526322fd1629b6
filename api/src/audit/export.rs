//! The audit as one long answer: read page by page, written as it is read, never whole in memory.

use super::line::{AuditLine, COLUMNS};
use crate::spreadsheet::csv_writer;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use rollcall_store::{
    Pool, Postgres, StoreError,
    audit::{self, AuditFilter, Recorded, Seen},
};
use serde::Deserialize;
use utoipa::ToSchema;

/// Lines that are read at a time.
const PAGE: i64 = 500;

/// What an export looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// Comma-separated values (RFC 4180) with a line of names.
    Csv,
    /// One JSON array.
    Json,
}

/// Why an export ends early.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The database does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A line cannot be written.
    #[error("a line cannot be written: {0}")]
    Write(#[from] csv::Error),
}

impl ExportFormat {
    /// The media type.
    pub fn content_type(self) -> &'static str {
        match self {
            ExportFormat::Csv => "text/csv; charset=utf-8",
            ExportFormat::Json => "application/json",
        }
    }

    /// How files of this kind end.
    pub fn ending(self) -> &'static str {
        match self {
            ExportFormat::Csv => "csv",
            ExportFormat::Json => "json",
        }
    }
}

/// Every line that the filter wants, newest first, as the parts of a document.
pub fn export(
    pool: Pool<Postgres>,
    filter: AuditFilter,
    format: ExportFormat,
) -> impl Stream<Item = Result<String, ExportError>> + Send + 'static {
    let pages = stream::try_unfold(None, move |seen: Option<Seen>| {
        let (pool, filter) = (pool.clone(), filter.clone());
        async move {
            let mut db = pool.acquire().await.map_err(StoreError::from)?;
            let lines = audit::page(&mut db, &filter, seen, PAGE).await?;
            let next = lines.last().map(Recorded::seen);
            Ok::<_, ExportError>(next.is_some().then_some((lines, next)))
        }
    });
    let mut is_first = true;
    let parts = pages.and_then(move |lines| {
        let is_first = std::mem::replace(&mut is_first, false);
        async move { part(lines, format, is_first) }
    });
    let (beginning, end) = match format {
        ExportFormat::Csv => (COLUMNS.join(",") + "\r\n", ""),
        ExportFormat::Json => ("[".to_owned(), "]\n"),
    };
    stream::iter([Ok(beginning)]).chain(parts).chain(stream::iter([Ok(end.to_owned())]))
}

/// A page as a part of the document.
fn part(lines: Vec<Recorded>, format: ExportFormat, is_first: bool) -> Result<String, ExportError> {
    let lines = lines.into_iter().map(AuditLine::try_from).collect::<Result<Vec<_>, _>>()?;
    match format {
        ExportFormat::Csv => {
            let mut writer = csv_writer();
            for line in lines {
                writer.write_record(line.cells())?;
            }
            let bytes = writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
            Ok(String::from_utf8(bytes).expect("texts and commas are UTF-8"))
        }
        ExportFormat::Json => {
            let lines: Vec<String> = lines
                .iter()
                .map(|line| serde_json::to_string(line).expect("plain data can be written"))
                .collect();
            Ok(format!("{}{}", if is_first { "\n" } else { ",\n" }, lines.join(",\n")))
        }
    }
}
