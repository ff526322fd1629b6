//! Tables as files that spreadsheets open: CSV (RFC 4180) and Office Open XML workbooks (ECMA-376).

use axum::response::{IntoResponse, Response};
use chrono::NaiveDate;
use http::{HeaderValue, header};
use rollcall_service::http::Problem;
use rust_xlsxwriter::{Format, Workbook, XlsxError};
use serde::Deserialize;
use utoipa::ToSchema;

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FileFormat {
    /// Comma-separated values with a line of names: the first table.
    Csv,
    /// A workbook with every table.
    Xlsx,
}

/// A table.
pub(crate) struct Sheet {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [&'static str],
    pub(crate) rows: Vec<Vec<Cell>>,
}

/// What is in a cell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Text(String),
    Count(i64),
    Number(f64),
    Date(NaiveDate),
}

impl FileFormat {
    /// A file to be kept, of these tables.
    pub(crate) fn response(self, name: &str, sheets: &[Sheet]) -> Result<Response, Problem> {
        let (bytes, content_type, ending) = match self {
            FileFormat::Csv => (csv(sheets).map_err(Problem::internal)?, "text/csv; charset=utf-8", "csv"),
            FileFormat::Xlsx => (
                workbook(sheets).map_err(Problem::internal)?,
                "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
                "xlsx",
            ),
        };
        let mut response = bytes.into_response();
        let disposition = format!("attachment; filename=\"{name}.{ending}\"");
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        let disposition = HeaderValue::from_str(&disposition).map_err(Problem::internal)?;
        headers.insert(header::CONTENT_DISPOSITION, disposition);
        Ok(response)
    }
}

/// Writes lines whose texts are quoted, so that a spreadsheet divides them at commas only: where lists have semicolons, one
/// within a text would begin another cell, and what follows could be a formula.
pub(crate) fn csv_writer() -> csv::Writer<Vec<u8>> {
    csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .quote_style(csv::QuoteStyle::NonNumeric)
        .from_writer(Vec::new())
}

fn csv(sheets: &[Sheet]) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv_writer();
    if let Some(sheet) = sheets.first() {
        writer.write_record(sheet.columns)?;
        for row in &sheet.rows {
            writer.write_record(row.iter().map(|cell| match cell {
                Cell::Text(text) => as_text(text.clone()),
                Cell::Count(count) => count.to_string(),
                Cell::Number(number) => number.to_string(),
                Cell::Date(date) => date.to_string(),
            }))?;
        }
    }
    writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))
}

/// A cell that a spreadsheet takes for text, whatever a caller had written into it: what begins like a formula is
/// quoted (OWASP, CSV injection). In a workbook a text is a text.
pub(crate) fn as_text(cell: String) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell }
}

fn workbook(sheets: &[Sheet]) -> Result<Vec<u8>, XlsxError> {
    let mut workbook = Workbook::new();
    let bold = Format::new().set_bold();
    let day = Format::new().set_num_format("yyyy-mm-dd");
    for sheet in sheets {
        let page = workbook.add_worksheet().set_name(sheet.name)?;
        for (column, name) in (0..).zip(sheet.columns) {
            page.write_string_with_format(0, column, *name, &bold)?;
        }
        for (line, row) in (1..).zip(&sheet.rows) {
            for (column, cell) in (0..).zip(row) {
                match cell {
                    Cell::Text(text) => page.write_string(line, column, text)?,
                    Cell::Count(count) => page.write_number(line, column, *count as f64)?,
                    Cell::Number(number) => page.write_number(line, column, *number)?,
                    Cell::Date(date) => page.write_date_with_format(line, column, date, &day)?,
                };
            }
        }
        page.set_freeze_panes(1, 0)?;
    }
    workbook.save_to_buffer()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet() -> Sheet {
        Sheet {
            name: "people",
            columns: &["name", "date", "count", "percentage"],
            rows: vec![vec![
                Cell::Text("=cmd()".into()),
                Cell::Date(NaiveDate::from_ymd_opt(2026, 3, 1).unwrap()),
                Cell::Count(-3),
                Cell::Number(84.62),
            ]],
        }
    }

    #[test]
    fn no_cell_is_a_formula() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"] {
            assert_eq!(as_text(formula.to_owned()), format!("'{formula}"));
        }
        assert_eq!(as_text("camera.created".to_owned()), "camera.created");
    }

    #[test]
    fn texts_are_guarded_and_numbers_are_numbers() {
        let text = String::from_utf8(csv(&[sheet()]).unwrap()).unwrap();
        assert_eq!(
            text,
            "\"name\",\"date\",\"count\",\"percentage\"\r\n\"'=cmd()\",\"2026-03-01\",-3,84.62\r\n"
        );
    }

    #[test]
    fn a_workbook_is_a_zip_archive_with_a_page_for_each_table() {
        let bytes = workbook(&[sheet(), Sheet { name: "other", columns: &["a"], rows: vec![] }]).unwrap();
        assert!(bytes.starts_with(b"PK\x03\x04"));
        let names = String::from_utf8_lossy(&bytes);
        assert!(names.contains("xl/worksheets/sheet1.xml") && names.contains("xl/worksheets/sheet2.xml"));
    }
}
