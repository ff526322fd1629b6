//! The settings as a TOML file that explains itself: defaults from the value, comments from the doc comments.

use super::schema::Node;
use schemars::{JsonSchema, schema_for};
use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt::Write;

/// Every setting of `T` with its default and its doc comment. Settings without a default stand commented out.
///
/// # Panics
/// When a default cannot be written as TOML: a fault of the settings' types, which a test of the composed settings
/// finds.
pub fn document<T: Default + Serialize + JsonSchema>() -> String {
    let schema = schema_for!(T).to_value();
    let defaults = serde_json::to_value(T::default()).expect("settings are plain data");
    let mut text = String::new();
    table(&mut text, "", Node { schema: &schema, root: &schema, value: &defaults });
    text.trim_start().to_owned()
}

fn table(text: &mut String, path: &str, node: Node<'_>) {
    let (tables, settings): (Vec<_>, Vec<_>) =
        node.fields().into_iter().partition(|(_, field)| field.is_table());
    for (name, field) in settings {
        comment(text, field.description());
        match toml_value(field.value) {
            Some(value) => line(text, &format!("{name} = {value}")),
            None => line(text, &format!("# {name} =")),
        }
    }
    for (name, field) in tables {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        line(text, "");
        comment(text, field.description());
        line(text, &format!("[{path}]"));
        table(text, &path, field);
    }
}

fn toml_value(value: &Value) -> Option<String> {
    if value.is_null() {
        return None;
    }
    let holder = Map::from_iter([("x".to_owned(), value.clone())]);
    let text = toml::to_string(&holder).expect("settings are plain data");
    // A list of tables or a table takes several lines and has no one-line form worth showing.
    text.trim_end().strip_prefix("x = ").map(str::to_owned)
}

fn comment(text: &mut String, description: &str) {
    for part in description.lines() {
        line(text, format!("# {part}").trim_end());
    }
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a string does not fail");
}
