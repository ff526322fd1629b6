//! The committed contract is the generated one. To accept a change: `UPDATE_CONTRACT=1 cargo test -p rollcall-schemas`.

use rollcall_schemas::contract;
use std::{fs, path::Path};

#[test]
fn committed_contract_is_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("contract");
    let schemas = contract::json_schemas().into_iter().map(|(name, schema)| (format!("{name}.json"), schema));
    let documents: Vec<_> = schemas.chain([("asyncapi.json".to_owned(), contract::asyncapi())]).collect();
    for (name, document) in &documents {
        let path = folder.join(name);
        let generated = format!("{}\n", serde_json::to_string_pretty(document).unwrap());
        if std::env::var_os("UPDATE_CONTRACT").is_some() {
            fs::write(&path, &generated).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(committed, generated, "{name} differs from the types; see the top of this test");
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), documents.len(), "a stale document in contract/");
}
