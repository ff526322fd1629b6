//! Layered settings: defaults, then `rollcall.toml`, then the environment.
//!
//! Each crate owns the struct of its section (`#[serde(default, deny_unknown_fields)]`, `Serialize`); the cli composes
//! the sections into one. Here is only how the layers are read and how a mistake in them is explained.
//!
//! `ROLLCALL_SECTION__KEY` sets `key` of `[section]`. `NATS_URL` and `DATABASE_URL`, the names other tools use, stand
//! for `nats.url` and `database.url`; the `ROLLCALL_` form wins over them. Each variable of a secret has a twin that ends
//! in `_FILE` and names a file with it: `DATABASE_URL_FILE`, `ROLLCALL_NATS__PASSWORD_FILE`.

mod document;
mod schema;
mod secret;

pub use document::document;
pub use secret::{PrivateFileError, Secret, read_private};

use figment::{
    Error, Figment, Metadata, Profile, Provider,
    error::Kind,
    providers::{Format, Toml},
    value::{Dict, Map, Value},
};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use std::{
    collections::BTreeMap,
    fmt::Write,
    io,
    path::{Path, PathBuf},
};

/// Where the file is looked for when nothing says where it is.
const DEFAULT_FILE: &str = "rollcall.toml";
/// Says where the file is; it must then exist.
const FILE_VARIABLE: &str = "ROLLCALL_CONFIG";
const PREFIX: &str = "ROLLCALL_";
/// What the name of a variable ends in that names a file with a secret.
const IN_FILE: &str = "_FILE";
/// Variables that begin like settings but tell something else what to do: where the file is, and which folder of model
/// packs the tests may use.
const CONTROL_VARIABLES: &[&str] = &[FILE_VARIABLE, "ROLLCALL_PACKS"];
/// Names that other tools use, and the settings they stand for.
const ALIASES: &[(&str, &str)] = &[("NATS_URL", "nats.url"), ("DATABASE_URL", "database.url")];

/// What settings are read from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file; when given it must exist.
    pub file: Option<PathBuf>,
    /// The file taken when none is given and this one exists.
    pub default_file: Option<PathBuf>,
    /// The environment.
    pub variables: BTreeMap<String, String>,
}

impl Sources {
    /// The process's environment, and the file named by `flag`, else by `ROLLCALL_CONFIG`, else `rollcall.toml` of the
    /// current folder if there is one.
    pub fn from_environment(flag: Option<PathBuf>) -> Self {
        // A variable that is not Unicode cannot be one of ours: all our names and values are text.
        let variables: BTreeMap<_, _> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let file = flag.or_else(|| variables.get(FILE_VARIABLE).map(PathBuf::from));
        Self { file, default_file: Some(DEFAULT_FILE.into()), variables }
    }

    fn file(&self) -> Result<Option<&Path>, ConfigError> {
        match (&self.file, &self.default_file) {
            (Some(file), _) if file.is_file() => Ok(Some(file)),
            (Some(file), _) => Err(ConfigError::NoFile(file.clone())),
            (None, Some(file)) if file.is_file() => Ok(Some(file)),
            (None, _) => Ok(None),
        }
    }

    fn figment(&self, secrets: &[String]) -> Result<Figment, ConfigError> {
        let mut figment = Figment::new();
        if let Some(file) = self.file()? {
            figment = figment.merge(Toml::file_exact(file));
        }
        // Names that other tools use come first, so that our own win.
        let mut layers: [Vec<Variable>; 2] = Default::default();
        for (name, value) in &self.variables {
            let variable = match name.strip_suffix(IN_FILE).and_then(|twin| Some((twin, setting(twin)?))) {
                Some((twin, key)) if secrets.contains(&key) => self.read_secret(name, twin, key)?,
                _ => match setting(name) {
                    Some(key) => {
                        let is_text = secrets.contains(&key);
                        Variable { name: name.clone(), key, value: value.clone(), is_text }
                    }
                    None => continue,
                },
            };
            let is_alias = !name.starts_with(PREFIX);
            if !(is_alias && variable.value.is_empty()) {
                layers[usize::from(!is_alias)].push(variable);
            }
        }
        Ok(layers.into_iter().flatten().fold(figment, Figment::merge))
    }

    /// The secret in the file that a variable names.
    fn read_secret(&self, name: &str, twin: &str, key: String) -> Result<Variable, ConfigError> {
        if self.variables.get(twin).is_some_and(|value| !value.is_empty()) {
            return Err(ConfigError::SetTwice { variable: twin.to_owned() });
        }
        let (variable, file) = (name.to_owned(), PathBuf::from(&self.variables[name]));
        match std::fs::read_to_string(&file) {
            Ok(text) if text.trim().is_empty() => Err(ConfigError::EmptyFile { variable, file }),
            // An editor ends the last line; no secret ends in a line break.
            Ok(text) => {
                let value = text.trim_end_matches(['\r', '\n']).to_owned();
                Ok(Variable { name: variable, key, value, is_text: true })
            }
            Err(source) => Err(ConfigError::SecretFile { variable, file, source }),
        }
    }
}

/// The setting that a variable stands for.
fn setting(name: &str) -> Option<String> {
    if CONTROL_VARIABLES.contains(&name) {
        return None;
    }
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, key)| (*key).to_owned());
    alias.or_else(|| Some(name.strip_prefix(PREFIX)?.to_lowercase().replace("__", ".")))
}

/// One environment variable as a layer of its own, so that a mistake is blamed on it by name.
struct Variable {
    name: String,
    key: String,
    value: String,
    /// Whether it is text whatever it looks like: a secret may begin with a bracket.
    is_text: bool,
}

impl Variable {
    /// Lists, tables and quoted text are read as figment reads them; anything else stays text, and becomes a number or
    /// a truth value only where the setting is one: a password of digits is still a password.
    fn parse(&self) -> Value {
        if !self.is_text && self.value.starts_with(['[', '{', '"']) {
            self.value.parse().unwrap_or_else(|_| Value::from(self.value.clone()))
        } else {
            Value::from(self.value.clone())
        }
    }
}

impl Provider for Variable {
    fn metadata(&self) -> Metadata {
        Metadata::named(format!("environment variable {}", self.name))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let nested = figment::util::nest(&self.key, self.parse());
        let dict = nested.into_dict().ok_or_else(|| Error::from("names no setting".to_owned()))?;
        Ok(Map::from([(Profile::Default, dict)]))
    }
}

/// Reads the settings of `T`, whose own defaults hold where no source says otherwise.
///
/// # Errors
/// When a named file is missing, or a source holds an unknown key or an unusable value; the message names the key, the
/// file or variable, and what would be accepted.
pub fn load<T: DeserializeOwned + JsonSchema>(sources: &Sources) -> Result<T, ConfigError> {
    let secrets = schema::secrets::<T>();
    let figment = sources.figment(&secrets)?;
    figment.extract_lossy().map_err(|errors| {
        let explained: Vec<String> = errors.into_iter().map(|error| explain(&error, &secrets)).collect();
        ConfigError::Invalid(explained.join("\n"))
    })
}

/// Why settings could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file that was named does not exist.
    #[error("the configuration file {0} does not exist")]
    NoFile(PathBuf),
    /// The file that a variable names as holding a secret cannot be read.
    #[error("{variable} names the file {file}, which cannot be read")]
    SecretFile {
        /// The variable.
        variable: String,
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file that a variable names as holding a secret holds nothing.
    #[error("{variable} names the file {file}, which holds nothing")]
    EmptyFile {
        /// The variable.
        variable: String,
        /// The file.
        file: PathBuf,
    },
    /// A secret is given by a variable and by a file.
    #[error("{variable} and {variable}_FILE are both set: leave one of them out")]
    SetTwice {
        /// The variable.
        variable: String,
    },
    /// One line for each mistake.
    #[error("{0}")]
    Invalid(String),
}

fn explain(error: &Error, secrets: &[String]) -> String {
    let mut path = error.path.join(".");
    let mut text = match &error.kind {
        Kind::UnknownField(field, known) => {
            // figment names the table in some sources and the field in others.
            let table = path.strip_suffix(field.as_str()).unwrap_or(&path).trim_end_matches('.').to_owned();
            path = if table.is_empty() { field.clone() } else { format!("{table}.{field}") };
            let place =
                if table.is_empty() { "at the top level".to_owned() } else { format!("in [{table}]") };
            format!("unknown setting `{path}`; known {place}: {}", known.join(", "))
        }
        // What was found may be a secret, or hold one.
        _ if !path.is_empty() && secrets.iter().any(|secret| secret.starts_with(&path)) => {
            format!("setting `{path}`: what is given cannot be used")
        }
        kind if path.is_empty() => kind.to_string(),
        kind => format!("setting `{path}`: {kind}"),
    };
    if let Some(metadata) = &error.metadata {
        match metadata.source.as_ref().and_then(|source| source.file_path()) {
            Some(file) => write!(text, " (file {})", file.display()),
            None => write!(text, " ({})", metadata.name),
        }
        .expect("writing to a string does not fail");
    }
    text
}

#[cfg(test)]
mod tests;
