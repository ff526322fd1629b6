use super::*;
use serde::{Deserialize, Serialize};

/// All settings.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    nats: Nats,
    ingest: Ingest,
}

/// The broker.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Nats {
    /// Where it is; a private one when absent.
    url: Option<Secret>,
}

/// The front door.
#[derive(Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Ingest {
    /// Bytes that a frame may have.
    max_frame_bytes: u32,
    strict: bool,
    origins: Vec<String>,
    password: Secret,
}

impl Default for Ingest {
    fn default() -> Self {
        Self { max_frame_bytes: 8, strict: false, origins: vec![], password: Secret::new("hush") }
    }
}

fn variables(pairs: &[(&str, &str)]) -> Sources {
    let variables = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Sources { variables, ..Sources::default() }
}

fn with_file(text: &str, pairs: &[(&str, &str)]) -> (tempfile::TempDir, Sources) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("site.toml");
    std::fs::write(&file, text).unwrap();
    (folder, Sources { file: Some(file), ..variables(pairs) })
}

#[test]
fn defaults_hold_where_nothing_is_said() {
    assert_eq!(load::<Settings>(&Sources::default()).unwrap(), Settings::default());
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_defaults() {
    let (_folder, sources) = with_file(
        "[ingest]\nmax_frame_bytes = 16\nstrict = true\n",
        &[("ROLLCALL_INGEST__MAX_FRAME_BYTES", "32"), ("ROLLCALL_INGEST__ORIGINS", "[a, b]")],
    );
    let ingest = load::<Settings>(&sources).unwrap().ingest;
    assert_eq!((ingest.max_frame_bytes, ingest.strict), (32, true));
    assert_eq!(ingest.origins, ["a", "b"]);
}

#[test]
fn well_known_names_are_read_and_our_own_win() {
    let url = |sources| load::<Settings>(&sources).unwrap().nats.url;
    assert_eq!(url(variables(&[("NATS_URL", "nats://a")])), Some(Secret::new("nats://a")));
    let both = variables(&[("NATS_URL", "nats://a"), ("ROLLCALL_NATS__URL", "nats://b")]);
    assert_eq!(url(both), Some(Secret::new("nats://b")));
    assert_eq!(url(variables(&[("NATS_URL", "")])), None);
}

#[test]
fn text_of_digits_stays_text() {
    let settings: Settings = load(&variables(&[("ROLLCALL_INGEST__PASSWORD", "0042")])).unwrap();
    assert_eq!(settings.ingest.password.reveal(), "0042");
}

#[test]
fn an_unknown_key_is_named_with_its_file_and_the_known_keys() {
    let (folder, sources) = with_file("[ingest]\nmax_frame_byte = 16\n", &[]);
    let message = load::<Settings>(&sources).unwrap_err().to_string();
    assert!(message.contains("unknown setting `ingest.max_frame_byte`"), "{message}");
    assert!(message.contains("known in [ingest]: max_frame_bytes, strict, origins, password"), "{message}");
    assert!(message.contains(folder.path().join("site.toml").to_str().unwrap()), "{message}");
}

#[test]
fn an_unknown_variable_is_named() {
    for (name, setting) in [("ROLLCALL_INGEST__STRICTLY", "ingest.strictly"), ("ROLLCALL_INGES", "inges")] {
        let message = load::<Settings>(&variables(&[(name, "1")])).unwrap_err().to_string();
        assert!(message.contains(&format!("unknown setting `{setting}`")), "{message}");
        assert!(message.contains(&format!("environment variable {name}")), "{message}");
    }
}

#[test]
fn control_variables_and_foreign_ones_are_no_settings() {
    let sources = variables(&[("ROLLCALL_PACKS", "/packs"), ("ROLLCALL_CONFIG", "/x"), ("PATH", "/bin")]);
    assert!(load::<Settings>(&sources).is_ok());
}

#[test]
fn an_unusable_value_is_named_with_its_variable() {
    let message = load::<Settings>(&variables(&[("ROLLCALL_INGEST__MAX_FRAME_BYTES", "many")])).unwrap_err();
    let message = message.to_string();
    assert!(message.contains("setting `ingest.max_frame_bytes`"), "{message}");
    assert!(message.contains("ROLLCALL_INGEST__MAX_FRAME_BYTES"), "{message}");
}

#[test]
fn a_named_file_must_exist() {
    let sources = Sources { file: Some("/nowhere/rollcall.toml".into()), ..Sources::default() };
    assert!(matches!(load::<Settings>(&sources), Err(ConfigError::NoFile(_))));
    let optional = Sources { default_file: Some("/nowhere/rollcall.toml".into()), ..Sources::default() };
    assert!(load::<Settings>(&optional).is_ok());
}

#[test]
fn secrets_are_not_shown() {
    let settings = Settings::default();
    assert!(!format!("{settings:?}").contains("hush"));
    assert!(!serde_json::to_string(&settings).unwrap().contains("hush"));
}

#[test]
fn the_document_explains_and_loads_as_the_defaults() {
    let text = document::<Settings>();
    assert!(text.contains("# Bytes that a frame may have.\nmax_frame_bytes = 8\n"), "{text}");
    assert!(text.contains("# Where it is; a private one when absent.\n# url =\n"), "{text}");
    assert!(!text.contains("hush"), "{text}");
    let (_folder, sources) = with_file(&text.replace("<secret>", "hush"), &[]);
    assert_eq!(load::<Settings>(&sources).unwrap(), Settings::default());
}
