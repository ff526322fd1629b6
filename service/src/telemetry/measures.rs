//! What this process counted, read back from the text that Prometheus gets: there is one set of books.

use rollcall_schemas::process::Measure;
use std::collections::BTreeMap;

/// Every counter and gauge, and of histograms the sum and the count. Buckets are added up over all labels but their
/// bound, because one histogram for each route would be most of the text.
pub fn measures() -> Vec<Measure> {
    read(&super::metrics().render())
}

fn read(text: &str) -> Vec<Measure> {
    let mut buckets = BTreeMap::<(String, String), f64>::new();
    let mut measures = Vec::new();
    for Measure { name, labels, value } in text.lines().filter_map(line) {
        match labels.get("le") {
            Some(bound) => *buckets.entry((name, bound.clone())).or_default() += value,
            None => measures.push(Measure { name, labels, value }),
        }
    }
    let bucket =
        |((name, bound), value)| Measure { name, labels: BTreeMap::from([("le".into(), bound)]), value };
    measures.extend(buckets.into_iter().map(bucket));
    measures
}

/// `name{label="value",...} number`; comments are none.
fn line(line: &str) -> Option<Measure> {
    if line.starts_with('#') {
        return None;
    }
    let (head, number) = line.rsplit_once(' ')?;
    let (name, labels) = match head.split_once('{') {
        Some((name, rest)) => (name, labels(rest.strip_suffix('}')?)?),
        None => (head, BTreeMap::new()),
    };
    Some(Measure { name: name.to_owned(), labels, value: number.parse().ok()? })
}

/// `label="value",...`, in whose values quotes, backslashes and line ends are escaped.
fn labels(mut rest: &str) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    while let Some((name, quoted)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut letters = quoted.char_indices();
        let end = loop {
            match letters.next()? {
                (end, '"') => break end,
                (_, '\\') => value.push(match letters.next()?.1 {
                    'n' => '\n',
                    letter => letter,
                }),
                (_, letter) => value.push(letter),
            }
        };
        labels.insert(name.trim_start_matches(',').to_owned(), value);
        rest = &quoted[end + 1..];
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
# HELP http_requests_total calls
# TYPE http_requests_total counter
http_requests_total{method="GET",route="/classes/{id}",status="200"} 3
odd{text="a \"quoted\" b\\c\nd"} 1.5
up 1
slow_seconds_bucket{route="/a",le="0.5"} 2
slow_seconds_bucket{route="/b",le="0.5"} 3
slow_seconds_bucket{route="/b",le="+Inf"} 4
slow_seconds_sum{route="/b"} 2.5
"#;

    #[test]
    fn the_text_is_read_back() {
        let measures = read(TEXT);
        let find = |name: &str| measures.iter().filter(|it| it.name == name).collect::<Vec<_>>();
        let [calls] = find("http_requests_total")[..] else { panic!("one") };
        assert_eq!((calls.labels["route"].as_str(), calls.value), ("/classes/{id}", 3.0));
        assert_eq!(find("odd")[0].labels["text"], "a \"quoted\" b\\c\nd");
        assert_eq!(find("up")[0].value, 1.0);
        let buckets: Vec<_> =
            find("slow_seconds_bucket").iter().map(|it| (it.labels["le"].clone(), it.value)).collect();
        assert_eq!(buckets, [("+Inf".to_owned(), 4.0), ("0.5".to_owned(), 5.0)]);
        assert_eq!(find("slow_seconds_sum")[0].value, 2.5);
    }

    #[test]
    fn what_this_process_counts_is_found() {
        metrics::counter!("measures_test_total", "kind" => "one").increment(2);
        let found = measures().into_iter().find(|it| it.name == "measures_test_total");
        // The recorder is installed by the first who asks for it.
        let found = found.or_else(|| {
            metrics::counter!("measures_test_total", "kind" => "one").increment(2);
            measures().into_iter().find(|it| it.name == "measures_test_total")
        });
        assert_eq!(found.unwrap().labels["kind"], "one");
    }
}
