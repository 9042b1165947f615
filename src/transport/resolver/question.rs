//! One question to one name server (RFC 1035): over UDP, and over TCP when the reply did not fit.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_proto::op::{Edns, Message, OpCode, Query, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// Bytes of a reply over UDP. Larger: replies are lost where a network drops fragments (DNS flag day 2020). Smaller: more
/// questions are repeated over TCP.
const UDP_ANSWER_BYTES: u16 = 1232;
/// The buffer for a reply over UDP; a longer one than announced is cut here.
const PACKET_BYTES: usize = 4096;
/// Bytes of a message's header (RFC 1035, section 4.1.1).
const HEADER_BYTES: usize = 12;

/// Asks, and returns any reply of the server, refusals included. The caller limits the time.
pub(super) async fn ask(server: SocketAddr, query: &Query, with_edns: bool) -> io::Result<Message> {
    let mut request = Message::query();
    request.metadata.recursion_desired = true;
    request.add_query(query.clone());
    if with_edns {
        request.edns.get_or_insert_with(Edns::new).set_max_payload(UDP_ANSWER_BYTES);
    }
    let packet = request.to_vec().map_err(io::Error::other)?;
    let reply = over_udp(server, &request, &packet).await?;
    match reply.metadata.truncation {
        true => over_tcp(server, &request, &packet).await,
        false => Ok(reply),
    }
}

/// Each question has its own socket: a forger would have to guess its port and the message's id. The socket is connected,
/// so that packets from elsewhere are ignored and a missing server is noticed at once.
async fn over_udp(server: SocketAddr, request: &Message, packet: &[u8]) -> io::Result<Message> {
    let any = match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(packet).await?;
    let mut buffer = vec![0; PACKET_BYTES];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if let Some(reply) = read_reply(&buffer[..length], request) {
            return reply;
        }
    }
}

async fn over_tcp(server: SocketAddr, request: &Message, packet: &[u8]) -> io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(packet.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), packet].concat()).await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; usize::from(length)];
    stream.read_exact(&mut buffer).await?;
    read_reply(&buffer, request).unwrap_or_else(|| Err(io::ErrorKind::InvalidData.into()))
}

/// Reads a packet; `None` when it is not a reply to this request.
fn read_reply(packet: &[u8], request: &Message) -> Option<io::Result<Message>> {
    let header = packet.get(..HEADER_BYTES)?;
    let is_reply = header[2] & 0x80 != 0;
    if u16::from_be_bytes([header[0], header[1]]) != request.metadata.id || !is_reply {
        return None;
    }
    let code = ResponseCode::from_low(header[3] & 0x0f);
    let says_nothing_else = !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain);
    match Message::from_vec(packet) {
        Ok(reply) if reply.queries == request.queries => Some(Ok(reply)),
        // old servers refuse what they don't understand with a header alone
        Ok(reply) if says_nothing_else && reply.queries.is_empty() => Some(Ok(reply)),
        Ok(_) => None,
        Err(_) if says_nothing_else => Some(Ok(Message::error_msg(request.metadata.id, OpCode::Query, code))),
        Err(error) => Some(Err(io::Error::new(io::ErrorKind::InvalidData, error))),
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::{Name, RecordType};

    use super::*;

    fn request() -> Message {
        let mut request = Message::query();
        request.metadata.id = 0x1234;
        request.add_query(Query::query(Name::from_ascii("a.example.").unwrap(), RecordType::A));
        request
    }

    fn reply(change: impl FnOnce(&mut Message)) -> Vec<u8> {
        let mut reply = request().into_response();
        change(&mut reply);
        reply.to_vec().unwrap()
    }

    #[test]
    fn only_a_reply_with_the_requests_id_and_question_counts() {
        let request = request();
        let code = |packet: &[u8]| {
            let reply = read_reply(packet, &request)?;
            Some(reply.map(|message| message.metadata.response_code).map_err(|error| error.kind()))
        };
        assert_eq!(code(&reply(|_| {})), Some(Ok(ResponseCode::NoError)));
        assert_eq!(code(&reply(|reply| reply.metadata.id = 0x1235)), None);
        assert_eq!(code(&request.to_vec().unwrap()), None, "a question is not a reply");
        let other = Query::query(Name::from_ascii("b.example.").unwrap(), RecordType::A);
        assert_eq!(code(&reply(|reply| reply.queries = vec![other])), None);
        assert_eq!(code(&reply(|reply| reply.queries.clear())), None);
        for short in [&[][..], &[0x12, 0x34], &[0x12, 0x34, 0x81, 0x80, 0, 1]] {
            assert_eq!(code(short), None);
        }
        let cut = reply(|_| {});
        assert_eq!(code(&cut[..cut.len() - 3]), Some(Err(io::ErrorKind::InvalidData)));
    }

    #[test]
    fn a_refusal_counts_with_or_without_its_question_and_when_its_header_announces_a_missing_one() {
        let refusal = |reply: &mut Message| reply.metadata.response_code = ResponseCode::FormErr;
        let bare = [0x12, 0x34, 0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0];
        let promising = [0x12, 0x34, 0x81, 0x81, 0, 1, 0, 0, 0, 0, 0, 1];
        for packet in [&reply(refusal)[..], &bare, &promising] {
            let read = read_reply(packet, &request()).unwrap().unwrap();
            assert_eq!(read.metadata.response_code, ResponseCode::FormErr, "{packet:x?}");
        }
        assert!(read_reply(&[0x12, 0x35, 0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0], &request()).is_none());
    }
}
