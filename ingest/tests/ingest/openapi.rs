//! The document says what the routes do.

use serde_json::Value;

fn document() -> Value {
    serde_json::to_value(rollcall_ingest::openapi()).unwrap()
}

#[test]
fn every_route_is_documented_with_its_refusals() {
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    let routes: Vec<&String> = paths.keys().collect();
    assert_eq!(routes, ["/api/v1/attendance/mark", "/api/v1/cameras/{id}/frames", "/api/v1/images"]);
    for (path, item) in paths {
        let responses = item["post"]["responses"].as_object().unwrap();
        for status in ["202", "400", "401", "403", "404", "415", "422", "503"] {
            assert!(responses.contains_key(status), "{path} does not say {status}");
        }
        assert!(item["post"]["security"].is_array(), "{path} does not say who may call");
    }
}

#[test]
fn pictures_are_documented_in_every_form() {
    let document = document();
    for path in ["/api/v1/cameras/{id}/frames", "/api/v1/images"] {
        let content = document["paths"][path]["post"]["requestBody"]["content"].as_object().unwrap();
        for form in ["image/jpeg", "image/png", "image/webp", "multipart/form-data", "application/json"] {
            assert!(content.contains_key(form), "{path} does not take {form}");
        }
    }
}
