//! HTTP by hand, for what no client would do: bodies that go on although the answer is already there.

use reqwest::StatusCode;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

const CHUNK: usize = 64 * 1024;

/// An answer as it came over the wire.
pub(crate) struct RawAnswer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
}

/// Sends a head, to which `Content-Length` is added, and then so many spaces, until the answer is there.
pub(crate) async fn send_spaces(address: SocketAddr, head: &str, length: usize) -> RawAnswer {
    let (read, mut write) = TcpStream::connect(address).await.expect("the server listens").into_split();
    let head = format!("{head}\r\nContent-Length: {length}\r\n\r\n");
    write.write_all(head.as_bytes()).await.expect("a head is read");
    tokio::select! {
        answer = receive(read) => answer,
        () = write_spaces(write, length) => panic!("a body of {length} bytes was taken"),
    }
}

async fn write_spaces(mut write: OwnedWriteHalf, length: usize) {
    let chunk = [b' '; CHUNK];
    for _ in 0..length / CHUNK {
        if write.write_all(&chunk).await.is_err() {
            // The server reads no more; its answer is on the way.
            std::future::pending::<()>().await;
        }
    }
}

async fn receive(mut read: OwnedReadHalf) -> RawAnswer {
    let mut answer = Vec::new();
    loop {
        if let Some(whole) = parse(&answer) {
            return whole;
        }
        let count = read.read_buf(&mut answer).await.expect("the answer arrives");
        assert!(count > 0, "cut off after {:?}", String::from_utf8_lossy(&answer));
    }
}

/// The answer, once all of it is there.
fn parse(answer: &[u8]) -> Option<RawAnswer> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&answer[..end]).expect("a head is text");
    let header = |name: &str| {
        let mut fields = head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let length: usize = header("content-length")?.parse().expect("a length is a number");
    Some(RawAnswer {
        status: head.split(' ').nth(1)?.parse().expect("a status is a number"),
        content_type: header("content-type").unwrap_or_default().to_owned(),
        body: answer.get(end..end + length)?.to_vec(),
    })
}
