//! From bytes to lines: encoding, separators, columns, and what each cell may hold.

use super::LineError;
use csv::{ReaderBuilder, StringRecord, Trim};
use garde::Validate;
use rollcall_schemas::role::Role;
use std::collections::HashMap;

/// A large school at once; more is another file.
const MAX_LINES: usize = 5_000;
/// Between the codes of one cell.
const BETWEEN_CODES: char = '|';

/// A line that speaks of a person, and keeps the rules by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) email: String,
    pub(super) full_name: String,
    pub(super) role: Role,
    pub(super) roll_number: Option<String>,
    pub(super) class_codes: Vec<String>,
}

/// What a file says, and what is wrong with it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) lines: Vec<Line>,
    pub(super) errors: Vec<LineError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Column {
    Email,
    FullName,
    Role,
    RollNumber,
    ClassCodes,
}

impl Column {
    const ALL: [Column; 5] =
        [Column::Email, Column::FullName, Column::Role, Column::RollNumber, Column::ClassCodes];

    fn name(self) -> &'static str {
        match self {
            Column::Email => "email",
            Column::FullName => "fullName",
            Column::Role => "role",
            Column::RollNumber => "rollNumber",
            Column::ClassCodes => "classCodes",
        }
    }

    /// Whatever the case; spaces, dashes and underscores do not count.
    fn parse(name: &str) -> Option<Self> {
        let plain = |name: &str| name.to_lowercase().replace([' ', '_', '-'], "");
        Self::ALL.into_iter().find(|column| plain(column.name()) == plain(name))
    }
}

/// The rules of a line, the same as of a person who is added alone.
#[derive(Validate)]
struct Rules<'a> {
    #[garde(email, length(max = 254))]
    email: &'a str,
    #[garde(length(chars, min = 1, max = 200))]
    full_name: &'a str,
    #[garde(length(chars, min = 1, max = 50))]
    roll_number: Option<&'a str>,
}

/// Reads a file.
pub(super) fn read(bytes: &[u8]) -> Table {
    let mut table = Table::default();
    match rows(bytes) {
        Ok((columns, rows)) => rows.iter().for_each(|(number, row)| table.add(*number, row, &columns)),
        Err(error) => table.errors.push(error),
    }
    table
}

type Columns = HashMap<Column, usize>;

/// The columns and the lines below their names, as far as the file is a table at all.
fn rows(bytes: &[u8]) -> Result<(Columns, Vec<(u64, StringRecord)>), LineError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count() as u64;
        LineError::new(line, "file", "is not UTF-8", "save the file as CSV UTF-8")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let first = text.lines().next().unwrap_or_default();
    let mut reader = ReaderBuilder::new()
        .delimiter(separator(first)?)
        .flexible(true)
        .trim(Trim::All)
        .from_reader(text.as_bytes());
    let unreadable = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        LineError::new(line, "file", "cannot be read as CSV", "look for a quotation mark that is not closed")
    };
    let columns = columns(reader.headers().map_err(unreadable)?)?;
    let rows: Vec<StringRecord> =
        reader.records().take(MAX_LINES + 1).collect::<Result<_, _>>().map_err(unreadable)?;
    match rows.len() {
        0 => Err(LineError::new(
            1,
            "file",
            "has no lines below the names of the columns",
            "add a line for each person",
        )),
        count if count > MAX_LINES => {
            let message = format!("has more than {MAX_LINES} lines");
            Err(LineError::new(
                1,
                "file",
                message,
                "split the file, with the names of the columns on top of each part",
            ))
        }
        _ => Ok((columns, rows.into_iter().map(|row| (line_of(text, &row), row)).collect())),
    }
}

/// Where a row begins. The reader counts from where it began to look, which may be before empty lines.
fn line_of(text: &str, row: &StringRecord) -> u64 {
    let Some(position) = row.position() else { return 1 };
    let start = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let rest = text.as_bytes().get(start..).unwrap_or_default();
    let ends = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    position.line() + ends.filter(|byte| **byte == b'\n').count() as u64
}

fn separator(first: &str) -> Result<u8, LineError> {
    let count = |separator| first.matches(separator).count();
    match (count(','), count(';'), count('\t')) {
        (0, 0, tabs) if tabs > 0 => {
            let message = "its columns are separated by tabs";
            Err(LineError::new(1, "file", message, "separate them by commas or semicolons"))
        }
        (commas, semicolons, _) if semicolons > commas => Ok(b';'),
        _ => Ok(b','),
    }
}

fn columns(names: &StringRecord) -> Result<Columns, LineError> {
    let mut columns = Columns::new();
    for (place, name) in names.iter().enumerate() {
        let Some(column) = Column::parse(name) else {
            let message = format!("{name:?} is no column");
            return Err(LineError::new(
                1,
                "file",
                message,
                "the columns are email, fullName, role, rollNumber and classCodes: rename it or take it out",
            ));
        };
        if columns.insert(column, place).is_some() {
            return Err(LineError::new(
                1,
                column.name(),
                "is there twice",
                "take one of the two columns out",
            ));
        }
    }
    for column in [Column::Email, Column::FullName] {
        if !columns.contains_key(&column) {
            return Err(LineError::new(
                1,
                column.name(),
                "is no column of the file",
                "name it in the first line",
            ));
        }
    }
    Ok(columns)
}

impl Table {
    fn add(&mut self, number: u64, row: &StringRecord, columns: &Columns) {
        if row.iter().all(str::is_empty) {
            return;
        }
        if row.len() != columns.len() {
            let message = format!("has {} cells, and there are {} columns", row.len(), columns.len());
            let remedy = "put cells with a separator in them into quotation marks";
            self.errors.push(LineError::new(number, "file", message, remedy));
            return;
        }
        let cell = |column: Column| {
            let place = columns.get(&column).copied();
            place.and_then(|place| row.get(place)).filter(|cell| !cell.is_empty())
        };
        let errors_before = self.errors.len();
        let role = self.role(number, cell(Column::Role));
        let email = cell(Column::Email).unwrap_or_default();
        let full_name = cell(Column::FullName).unwrap_or_default();
        let roll_number = cell(Column::RollNumber);
        if let Err(report) = (Rules { email, full_name, roll_number }).validate() {
            for (path, error) in report.iter() {
                let column = Column::parse(&path.to_string()).map_or("file", Column::name);
                self.errors.push(LineError::new(number, column, error.to_string(), "correct the cell"));
            }
        }
        if row.iter().any(|cell| cell.contains('\0')) {
            self.errors.push(LineError::new(
                number,
                "file",
                "holds a null character",
                "save the file as text",
            ));
        }
        let codes = cell(Column::ClassCodes).unwrap_or_default().split(BETWEEN_CODES).map(str::trim);
        let mut class_codes: Vec<String> = codes.filter(|code| !code.is_empty()).map(str::to_owned).collect();
        class_codes.sort_unstable();
        class_codes.dedup();
        if self.errors.len() == errors_before {
            let (email, full_name) = (email.to_owned(), full_name.to_owned());
            let roll_number = roll_number.map(str::to_owned);
            self.lines.push(Line { number, email, full_name, role, roll_number, class_codes });
        }
    }

    fn role(&mut self, number: u64, cell: Option<&str>) -> Role {
        let Some(name) = cell else { return Role::Student };
        Role::parse(&name.to_lowercase()).unwrap_or_else(|| {
            let message = format!("{name:?} is no role");
            let remedy = "the roles are student, teacher, operator and admin";
            self.errors.push(LineError::new(number, Column::Role.name(), message, remedy));
            Role::Student
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> Vec<(u64, String)> {
        let table = read(text.as_bytes());
        assert!(table.errors.iter().all(|error| !error.message.is_empty() && !error.remedy.is_empty()));
        table.errors.into_iter().map(|error| (error.line, error.field)).collect()
    }

    #[test]
    fn separators_marks_and_quotes_make_no_difference() {
        let expected = Line {
            number: 2,
            email: "a@b.example".into(),
            full_name: "Ada, Countess".into(),
            role: Role::Student,
            roll_number: Some("7".into()),
            class_codes: vec!["A1".into(), "B2".into()],
        };
        for text in [
            "email,fullName,role,rollNumber,classCodes\na@b.example,\"Ada, Countess\",student,7,A1|B2\n",
            "\u{feff}E-Mail;Full Name;Class_Codes;ROLLNUMBER\r\na@b.example;Ada, Countess; B2 | A1 |B2 ;7\r\n",
            "roll number,class codes,full-name,email,role\n7,A1|B2,\"Ada, Countess\",a@b.example,\n",
        ] {
            let table = read(text.as_bytes());
            assert_eq!(table, Table { lines: vec![expected.clone()], errors: vec![] }, "{text}");
        }
    }

    #[test]
    fn a_file_that_is_no_table_says_why() {
        for (text, line, field) in [
            ("", 1, "email"),
            ("email,fullName\n", 1, "file"),
            ("email\tfullName\na@b.example\tA\n", 1, "file"),
            ("email,fullName,shoeSize\na@b.example,A,9\n", 1, "file"),
            ("email,fullName,E-Mail\na@b.example,A,b\n", 1, "email"),
            ("fullName\nA\n", 1, "email"),
        ] {
            assert_eq!(wrong(text), [(line, field.to_owned())], "{text:?}");
        }
        let table = read(b"email,fullName\na@b.example,A\nb@b.example,\xff\n");
        assert_eq!((table.errors[0].line, table.errors[0].remedy), (3, "save the file as CSV UTF-8"));
        let many = format!("email,fullName\n{}", "a@b.example,A\n".repeat(MAX_LINES + 1));
        assert_eq!(wrong(&many), [(1, "file".to_owned())]);
    }

    #[test]
    fn each_wrong_cell_is_named_and_good_lines_stay() {
        let text = "email,fullName,role,rollNumber\n\
                    nobody,A,student,1\n\
                    \n\
                    b@b.example,\"two\nlines\",king,2\n\
                    c@b.example\n\
                    d@b.example,,teacher,\n\
                    e@b.example,E\0,student,\n\
                    f@b.example,F,TEACHER,\n";
        let expected = [(2, "email"), (4, "role"), (6, "file"), (7, "fullName"), (8, "file")];
        assert_eq!(wrong(text), expected.map(|(line, field)| (line, field.to_owned())));
        let lines = read(text.as_bytes()).lines;
        assert_eq!((lines.len(), lines[0].number, lines[0].role), (1, 9, Role::Teacher));
    }
}
