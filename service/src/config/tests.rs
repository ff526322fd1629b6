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

#[test]
fn a_secret_may_be_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (ours, theirs) = (file("ours", "[not, a, list]\n"), file("theirs", "nats://a\r\n"));
    let sources = variables(&[("ROLLCALL_INGEST__PASSWORD_FILE", &ours), ("NATS_URL_FILE", &theirs)]);
    let settings: Settings = load(&sources).unwrap();
    assert_eq!(settings.ingest.password.reveal(), "[not, a, list]");
    assert_eq!(settings.nats.url, Some(Secret::new("nats://a")));

    let refused = |pairs: &[(&str, &str)]| load::<Settings>(&variables(pairs)).unwrap_err();
    let twice = refused(&[("NATS_URL", "nats://b"), ("NATS_URL_FILE", &theirs)]);
    assert!(twice.to_string().contains("NATS_URL and NATS_URL_FILE are both set"), "{twice}");
    let missing = refused(&[("ROLLCALL_INGEST__PASSWORD_FILE", "/nowhere")]);
    assert!(
        missing.to_string().contains("ROLLCALL_INGEST__PASSWORD_FILE names the file /nowhere"),
        "{missing}"
    );
    let empty = refused(&[("NATS_URL_FILE", &file("empty", "\n"))]);
    assert!(matches!(empty, ConfigError::EmptyFile { .. }), "{empty}");
    // What is no secret is no file either.
    let open = refused(&[("ROLLCALL_INGEST__STRICT_FILE", &ours)]);
    assert!(open.to_string().contains("unknown setting `ingest.strict_file`"), "{open}");
}

#[test]
fn a_mistake_around_a_secret_does_not_tell_it() {
    for (name, value) in
        [("ROLLCALL_NATS", "nats://u:hunter2@a"), ("ROLLCALL_INGEST__PASSWORD__X", "hunter2")]
    {
        let message = load::<Settings>(&variables(&[(name, value)])).unwrap_err().to_string();
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn weak_secrets_are_told_from_strong_ones() {
    let weakness = |text: &str| Secret::new(text).weakness();
    assert_eq!(weakness("4Zq9vLw2Rt7xKp5N"), None);
    assert_eq!(weakness(""), Some("shorter than 16 characters"));
    assert_eq!(weakness("4Zq9vLw2Rt7xKp5"), Some("shorter than 16 characters"));
    assert_eq!(weakness("abababababababababab"), Some("made of a few characters only"));
    assert_eq!(weakness("ChangeMe-ChangeMe-1"), Some("one of the usual examples"));
}

#[test]
fn a_key_that_everybody_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    std::fs::write(&file, "key").unwrap();
    let with_mode = |mode| {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        read_private(&file)
    };
    assert_eq!(with_mode(0o640).unwrap().reveal(), "key");
    let refused = with_mode(0o644).unwrap_err().to_string();
    assert!(refused.contains("key.pem can be read by everybody"), "{refused}");
    assert!(matches!(read_private(&folder.path().join("none")), Err(PrivateFileError::Unreadable(..))));
}
