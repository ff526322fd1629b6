//! What is to be done so that everybody is there whom the lines speak of, or why it cannot be.

use super::{Action, ERRORS_SHOWN, ImportReport, ImportedLine, LineError, Mode, table::Line};
use crate::{extract::Caller, users::may_manage};
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    id::{ClassId, EnrolmentId, OrganisationId, UserId},
    role::Role,
};
use rollcall_service::clock::Entropy;
use rollcall_store::{
    import::{Known, OpenClass, Update},
    users::NewUser,
};
use std::collections::{HashMap, HashSet};

/// Who and what is there already.
pub(super) struct Surroundings {
    pub(super) known: Vec<Known>,
    pub(super) classes: Vec<OpenClass>,
    pub(super) enrolled: HashSet<(ClassId, UserId)>,
}

/// What is to be done.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) creations: Vec<(UserId, Line)>,
    pub(super) updates: Vec<Update>,
    pub(super) enrolments: Vec<(EnrolmentId, ClassId, UserId)>,
    pub(super) lines: Vec<ImportedLine>,
    pub(super) errors: Vec<LineError>,
}

/// What is looked up again and again.
struct Index<'a> {
    by_email: HashMap<&'a str, &'a Known>,
    by_roll_number: HashMap<&'a str, &'a Known>,
    by_code: HashMap<&'a str, &'a OpenClass>,
    /// In which line an address or a number was first.
    email_lines: HashMap<String, u64>,
    roll_number_lines: HashMap<&'a str, u64>,
    /// How many are newly enrolled.
    taken: HashMap<ClassId, i64>,
}

impl Plan {
    /// Plans for each line.
    pub(super) fn add(
        &mut self,
        lines: &[Line],
        surroundings: &Surroundings,
        (caller, mode): (&Caller, Mode),
        entropy: &Entropy,
    ) {
        let known = &surroundings.known;
        let mut index = Index {
            by_email: known.iter().map(|person| (person.email.as_str(), person)).collect(),
            by_roll_number: known
                .iter()
                .filter_map(|person| Some((person.roll_number.as_deref()?, person)))
                .collect(),
            by_code: surroundings.classes.iter().map(|class| (class.code.as_str(), class)).collect(),
            email_lines: HashMap::new(),
            roll_number_lines: HashMap::new(),
            taken: HashMap::new(),
        };
        for line in lines {
            let errors_before = self.errors.len();
            self.check_role(line, caller);
            self.check_doubles(line, &mut index);
            let person = index.by_email.get(line.email.to_lowercase().as_str()).copied();
            self.check_known(line, person, mode, &index);
            let user_id = person.map_or_else(|| UserId(entropy.uuid_v4()), |person| person.id);
            self.enrol(line, user_id, (&mut index, &surroundings.enrolled), entropy);
            if self.errors.len() == errors_before {
                self.settle(line, user_id, person);
            }
        }
    }

    fn wrong(&mut self, line: &Line, field: &str, message: impl Into<String>, remedy: &'static str) {
        self.errors.push(LineError::new(line.number, field, message, remedy));
    }

    fn check_role(&mut self, line: &Line, caller: &Caller) {
        if let Err(problem) = may_manage(caller, line.role) {
            self.wrong(line, "role", problem.message, "take the line out, or ask an administrator");
        }
    }

    fn check_doubles<'a>(&mut self, line: &'a Line, index: &mut Index<'a>) {
        if let Some(first) = index.email_lines.insert(line.email.to_lowercase(), line.number) {
            self.wrong(line, "email", format!("is in line {first} already"), "keep one of the two lines");
        }
        if let Some(number) = line.roll_number.as_deref()
            && let Some(first) = index.roll_number_lines.insert(number, line.number)
        {
            self.wrong(line, "rollNumber", format!("is in line {first} already"), "correct one of the two");
        }
    }

    fn check_known(&mut self, line: &Line, person: Option<&Known>, mode: Mode, index: &Index<'_>) {
        match person {
            Some(_) if mode == Mode::Create => {
                let remedy = "take the line out, or import with mode=upsert to change the person";
                self.wrong(line, "email", "somebody has this address already", remedy);
            }
            Some(person) if person.role != line.role => {
                let message = format!("the person is {} already", person.role);
                self.wrong(line, "role", message, "correct the line: an import changes no roles");
            }
            _ => {}
        }
        let holder = line.roll_number.as_deref().and_then(|number| index.by_roll_number.get(number));
        if holder.is_some_and(|holder| Some(holder.id) != person.map(|person| person.id)) {
            self.wrong(line, "rollNumber", "somebody else has this number", "correct the number");
        }
    }

    fn enrol(
        &mut self,
        line: &Line,
        student: UserId,
        (index, enrolled): (&mut Index<'_>, &HashSet<(ClassId, UserId)>),
        entropy: &Entropy,
    ) {
        if line.role != Role::Student && !line.class_codes.is_empty() {
            self.wrong(line, "classCodes", "only students are enrolled in classes", "empty the cell");
            return;
        }
        for code in &line.class_codes {
            let Some(class) = index.by_code.get(code.as_str()).copied() else {
                self.wrong(
                    line,
                    "classCodes",
                    format!("there is no class {code:?}"),
                    "correct the code, or add the class first",
                );
                continue;
            };
            if enrolled.contains(&(class.id, student)) {
                continue;
            }
            let taken = index.taken.entry(class.id).or_default();
            *taken += 1;
            if !class.is_active {
                self.wrong(
                    line,
                    "classCodes",
                    format!("{code} does not take place at present"),
                    "take the code out",
                );
            } else if class.places.is_some_and(|places| *taken > places) {
                self.wrong(
                    line,
                    "classCodes",
                    format!("{code} is full"),
                    "take the code out, or raise the capacity of the class",
                );
            }
            self.enrolments.push((EnrolmentId(entropy.uuid_v4()), class.id, student));
        }
    }

    /// A line with nothing wrong.
    fn settle(&mut self, line: &Line, user_id: UserId, person: Option<&Known>) {
        let action = match person {
            None => {
                self.creations.push((user_id, line.clone()));
                Action::Created
            }
            Some(person) if is_as_it_says(person, line) => Action::Unchanged,
            Some(_) => {
                let (full_name, roll_number) = (line.full_name.clone(), line.roll_number.clone());
                self.updates.push(Update { id: user_id, full_name, roll_number });
                Action::Updated
            }
        };
        let (line, email) = (line.number, line.email.clone());
        self.lines.push(ImportedLine { line, id: Some(user_id), email, action });
    }

    /// The same with what is wrong in the order of the lines.
    pub(super) fn sorted(mut self) -> Self {
        self.errors.sort_by_key(|error| error.line);
        self
    }

    pub(super) fn new_users(
        &self,
        organisation_id: OrganisationId,
        created_at: DateTime<Utc>,
    ) -> Vec<NewUser> {
        let new = |(id, line): &(UserId, Line)| NewUser {
            id: *id,
            organisation_id,
            email: line.email.clone(),
            full_name: line.full_name.clone(),
            role: line.role,
            roll_number: line.roll_number.clone(),
            password_hash: None,
            created_at,
        };
        self.creations.iter().map(new).collect()
    }

    pub(super) fn report(self, dry_run: bool) -> ImportReport {
        let (created, updated) = (self.creations.len(), self.updates.len());
        let (error_count, mut lines, mut errors) = (self.errors.len(), self.lines, self.errors);
        errors.truncate(ERRORS_SHOWN);
        let unchanged = lines.len() - created - updated;
        if dry_run {
            // Nobody will have the ids that were drawn for them.
            lines.iter_mut().filter(|line| line.action == Action::Created).for_each(|line| line.id = None);
        }
        let enrolled = self.enrolments.len();
        ImportReport { dry_run, created, updated, unchanged, enrolled, lines, error_count, errors }
    }
}

fn is_as_it_says(person: &Known, line: &Line) -> bool {
    person.full_name == line.full_name
        && (line.roll_number.is_none() || person.roll_number == line.roll_number)
}
