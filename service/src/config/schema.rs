//! What the types of the settings say of them: names, comments, and which are secrets.

use schemars::{JsonSchema, schema_for};
use serde_json::Value;

/// One setting, or a table of them.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    pub(super) schema: &'a Value,
    pub(super) root: &'a Value,
    pub(super) value: &'a Value,
}

impl<'a> Node<'a> {
    /// Follows references and the `anyOf` of an optional setting to the schema that has the properties.
    fn resolved(&self) -> &'a Value {
        let mut schema = self.schema;
        loop {
            let reference =
                schema["$ref"].as_str().and_then(|path| self.root.pointer(path.trim_start_matches('#')));
            let some = schema["anyOf"].as_array().and_then(|options| options.first());
            match reference.or(some) {
                Some(next) => schema = next,
                None => return schema,
            }
        }
    }

    pub(super) fn fields(&self) -> Vec<(&'a String, Node<'a>)> {
        let properties = self.resolved()["properties"].as_object();
        let fields = properties.into_iter().flatten().map(|(name, schema)| {
            let value = self.value.get(name).unwrap_or(&Value::Null);
            (name, Node { schema, value, ..*self })
        });
        fields.collect()
    }

    pub(super) fn is_table(&self) -> bool {
        self.resolved()["properties"].is_object()
    }

    pub(super) fn description(&self) -> &'a str {
        self.schema["description"]
            .as_str()
            .or_else(|| self.resolved()["description"].as_str())
            .unwrap_or_default()
    }

    /// Whether it is to be read and never shown (JSON Schema, `writeOnly`).
    fn is_secret(&self) -> bool {
        [self.schema, self.resolved()].iter().any(|schema| schema["writeOnly"] == true)
    }
}

/// The settings of `T` that are secrets: `database.url`.
pub(super) fn secrets<T: JsonSchema>() -> Vec<String> {
    let schema = schema_for!(T).to_value();
    let mut found = Vec::new();
    collect(&mut found, "", Node { schema: &schema, root: &schema, value: &Value::Null });
    found
}

fn collect(found: &mut Vec<String>, table: &str, node: Node<'_>) {
    for (name, field) in node.fields() {
        let path = if table.is_empty() { name.clone() } else { format!("{table}.{name}") };
        if field.is_table() {
            collect(found, &path, field);
        } else if field.is_secret() {
            found.push(path);
        }
    }
}
