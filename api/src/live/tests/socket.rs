//! A client of Socket.IO that keeps every byte it receives, and reads only when it is told to.

use crate::testing::SOON;
use futures::{SinkExt, StreamExt};
use http::HeaderMap;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::{collections::VecDeque, sync::Arc};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};
use tokio_util::io::InspectReader;

type Keep = Box<dyn FnMut(&[u8]) + Send + Unpin>;
type Wire = WebSocketStream<InspectReader<TcpStream, Keep>>;

/// How packets travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Polling,
    WebSocket,
    /// One over which little can be on its way.
    NarrowWebSocket,
}

enum Line {
    Polling { http: reqwest::Client, url: String },
    WebSocket(Box<Wire>),
}

/// What the server says.
#[derive(Clone, Debug, PartialEq)]
enum Packet {
    Connected,
    Refused(String),
    Event(String, Value),
    Ack(u64, Value),
    /// The namespace, or the connection, is closed.
    Ended,
}

/// One connection.
pub(super) struct Socket {
    line: Line,
    inbox: VecDeque<Packet>,
    asked: u64,
    received: Arc<Mutex<Vec<u8>>>,
}

impl Socket {
    /// Opens a connection, and says nothing yet.
    pub(super) async fn open(base: &str, transport: Transport, headers: HeaderMap) -> Self {
        let received = Arc::<Mutex<Vec<u8>>>::default();
        let line = match transport {
            Transport::Polling => {
                let http = reqwest::Client::builder().default_headers(headers).build().unwrap();
                let opened = http.get(format!("{base}/socket.io/?EIO=4&transport=polling"));
                let opened = opened.send().await.unwrap().text().await.unwrap();
                let sid: Value = serde_json::from_str(opened.strip_prefix('0').expect(&opened)).unwrap();
                let sid = sid["sid"].as_str().unwrap();
                Line::Polling { http, url: format!("{base}/socket.io/?EIO=4&transport=polling&sid={sid}") }
            }
            Transport::WebSocket | Transport::NarrowWebSocket => {
                let host = base.strip_prefix("http://").unwrap();
                let kept = received.clone();
                let keep: Keep = Box::new(move |bytes| kept.lock().extend_from_slice(bytes));
                let stream = InspectReader::new(dial(host, transport).await, keep);
                let address = format!("ws://{host}/socket.io/?EIO=4&transport=websocket");
                let (mut wire, _) = client_async(address, stream).await.unwrap();
                let opened = wire.next().await.unwrap().unwrap();
                assert!(opened.to_text().unwrap().starts_with('0'), "{opened}");
                Line::WebSocket(Box::new(wire))
            }
        };
        Self { line, inbox: VecDeque::new(), asked: 0, received }
    }

    /// Says who it is.
    pub(super) async fn sign_in(mut self, auth: Value) -> Result<Self, String> {
        let auth = if auth.is_null() { String::new() } else { auth.to_string() };
        self.send(&format!("40{auth}")).await;
        let answer = self.expect(|packet| match packet {
            Packet::Connected => Some(Ok(())),
            Packet::Refused(message) => Some(Err(message.clone())),
            _ => None,
        });
        answer.await.map(|()| self)
    }

    /// A connection of whoever has this token.
    pub(super) async fn of(base: &str, transport: Transport, token: &str) -> Self {
        let opened = Self::open(base, transport, HeaderMap::new()).await;
        opened.sign_in(json!({ "token": token })).await.unwrap()
    }

    /// Asks for something, and gives the acknowledgement.
    pub(super) async fn ask(&mut self, name: &str, data: Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        self.send(&format!("42{id}{}", json!([name, data]))).await;
        self.expect(|packet| match packet {
            Packet::Ack(of, answer) if *of == id => Some(answer.clone()),
            _ => None,
        })
        .await
    }

    /// Asks for something that is granted, and gives its data.
    pub(super) async fn done(&mut self, name: &str, data: Value) -> Value {
        let answer = self.ask(name, data).await;
        assert_eq!(answer["success"], true, "{answer}");
        answer["data"].clone()
    }

    /// Asks for something that is refused, and gives the code.
    pub(super) async fn refused(&mut self, name: &str, data: Value) -> String {
        let answer = self.ask(name, data).await;
        assert_eq!(answer["success"], false, "{answer}");
        assert!(answer["timestamp"].is_string() && answer["error"]["message"].is_string(), "{answer}");
        answer["error"]["code"].as_str().unwrap().to_owned()
    }

    /// The next event.
    pub(super) async fn event(&mut self) -> (String, Value) {
        self.expect(|packet| match packet {
            Packet::Event(name, data) => Some((name.clone(), data.clone())),
            Packet::Ended => panic!("the connection ended"),
            _ => None,
        })
        .await
    }

    /// The next event, which is of this name.
    pub(super) async fn heard(&mut self, name: &str) -> Value {
        let (heard, data) = self.event().await;
        assert_eq!(heard, name, "{data}");
        data
    }

    /// Waits until it is closed.
    pub(super) async fn ended(&mut self) {
        self.expect(|packet| (*packet == Packet::Ended).then_some(())).await;
    }

    /// Every byte that came, as text.
    pub(super) fn received(&self) -> String {
        String::from_utf8_lossy(&self.received.lock()).into_owned()
    }

    /// Sends a packet as it is.
    pub(super) async fn send(&mut self, packet: &str) {
        match &mut self.line {
            Line::Polling { http, url } => {
                // A connection that was closed meanwhile takes nothing.
                http.post(&*url).body(packet.to_owned()).send().await.unwrap();
            }
            Line::WebSocket(wire) => {
                let _ = wire.send(Message::text(packet)).await;
            }
        }
    }

    /// Takes the first packet that `wanted` picks; what came before it stays.
    async fn expect<T>(&mut self, wanted: impl Fn(&Packet) -> Option<T>) -> T {
        let mut looked_at = 0;
        loop {
            while looked_at < self.inbox.len() {
                if let Some(found) = wanted(&self.inbox[looked_at]) {
                    self.inbox.remove(looked_at);
                    return found;
                }
                looked_at += 1;
            }
            timeout(SOON, self.receive()).await.expect("a packet in time");
        }
    }

    async fn receive(&mut self) {
        let text = match &mut self.line {
            Line::Polling { http, url } => {
                let answer = http.get(&*url).send().await.unwrap();
                let is_open = answer.status().is_success();
                let bytes = answer.bytes().await.unwrap();
                self.received.lock().extend_from_slice(&bytes);
                is_open.then(|| String::from_utf8(bytes.to_vec()).unwrap())
            }
            Line::WebSocket(wire) => match wire.next().await {
                Some(Ok(Message::Text(text))) => Some(text.to_string()),
                _ => None,
            },
        };
        let Some(text) = text else { return self.inbox.push_back(Packet::Ended) };
        for packet in text.split('\u{1e}') {
            match packet.split_at_checked(1) {
                Some(("2", _)) => self.send("3").await,
                Some(("4", packet)) => self.inbox.push_back(read(packet)),
                Some(("1", _)) | None => self.inbox.push_back(Packet::Ended),
                Some(("6", _)) => {}
                _ => panic!("not a packet: {packet}"),
            }
        }
    }
}

async fn dial(host: &str, transport: Transport) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    if transport == Transport::NarrowWebSocket {
        socket.set_recv_buffer_size(16 * 1024).unwrap();
    }
    socket.connect(host.parse().unwrap()).await.unwrap()
}

fn read(packet: &str) -> Packet {
    let (kind, rest) = packet.split_at(1);
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_else(|_| panic!("{packet}"));
    match kind {
        "0" => Packet::Connected,
        "1" => Packet::Ended,
        "2" => {
            let event = json(rest);
            Packet::Event(event[0].as_str().unwrap().to_owned(), event[1].clone())
        }
        "3" => {
            let (id, answer) = rest.split_at(rest.find('[').unwrap());
            Packet::Ack(id.parse().unwrap(), json(answer)[0].clone())
        }
        "4" => Packet::Refused(json(rest)["message"].as_str().unwrap().to_owned()),
        _ => panic!("not a packet: {packet}"),
    }
}
