//! Reading server-sent events (HTML Living Standard, section 9.2).

use serde_json::Value;
use std::{collections::VecDeque, time::Duration};

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The cursor to resume from.
    pub id: Option<String>,
    /// Its type.
    pub event: Option<String>,
    /// Its data, lines joined.
    pub data: String,
}

impl Event {
    /// The data as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).expect("the data is JSON")
    }
}

/// An open stream of events.
#[derive(Debug)]
pub struct Events {
    response: reqwest::Response,
    parser: Parser,
}

impl Events {
    pub(crate) fn new(response: reqwest::Response) -> Self {
        Self { response, parser: Parser::default() }
    }

    /// The next event; comments are skipped. `None` when the stream has ended.
    ///
    /// # Panics
    /// When neither has happened by the deadline.
    pub async fn next(&mut self, deadline: Duration) -> Option<Event> {
        tokio::time::timeout(deadline, self.read())
            .await
            .unwrap_or_else(|_| panic!("no event within {deadline:?}"))
    }

    async fn read(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.parser.ready.pop_front() {
                return Some(event);
            }
            // A connection that is cut ends the stream as an orderly end does.
            let bytes = self.response.chunk().await.ok()??;
            self.parser.push(&bytes);
        }
    }
}

#[derive(Debug, Default)]
struct Parser {
    line: Vec<u8>,
    event: Event,
    has_data: bool,
    ready: VecDeque<Event>,
}

impl Parser {
    fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                let line = String::from_utf8(std::mem::take(&mut self.line)).expect("events are UTF-8");
                self.field(line.trim_end_matches('\r'));
            } else {
                self.line.push(byte);
            }
        }
    }

    fn field(&mut self, line: &str) {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            if std::mem::take(&mut self.has_data) {
                self.ready.push_back(event);
            }
            return;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => self.event.id = Some(value.to_owned()),
            "event" => self.event.event = Some(value.to_owned()),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_survive_any_cut_into_chunks() {
        let text =
            ": hello\n\nid: 7\nevent: person-seen\ndata: {\"a\":\ndata: 1}\n\nretry: 5\n\ndata:x\r\n\r\n";
        let expected = [
            Event { id: Some("7".into()), event: Some("person-seen".into()), data: "{\"a\":\n1}".into() },
            Event { data: "x".into(), ..Event::default() },
        ];
        for size in 1..text.len() {
            let mut parser = Parser::default();
            text.as_bytes().chunks(size).for_each(|chunk| parser.push(chunk));
            assert_eq!(parser.ready, expected, "chunks of {size}");
        }
    }
}
