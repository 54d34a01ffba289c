//! Whether smbd really answers: one SMB2 NEGOTIATE, written by hand.
//!
//! A connect is not enough: the listening socket accepts before smbd can serve.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longest answer that is read, in bytes; Samba's has about 400.
const MAX_ANSWER: usize = 16 << 10;
/// Size of the SMB2 header (MS-SMB2 2.2.1.2).
const HEADER: usize = 64;
/// Dialects offered: 2.1, 3.0, 3.0.2, 3.1.1, so that every security profile accepts one.
const DIALECTS: [u16; 4] = [0x0210, 0x0300, 0x0302, 0x0311];

/// Asks smbd at this address; gives the dialect it chose, as 0x0311.
pub(crate) fn negotiate(address: SocketAddr, deadline: Duration) -> io::Result<u16> {
    let end = Instant::now() + deadline;
    let left = || Some(end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)));
    let mut stream = TcpStream::connect_timeout(&address, deadline)?;
    stream.set_write_timeout(left())?;
    stream.write_all(&request())?;
    // direct TCP transport (MS-SMB2 2.1): a zero byte and the length in three bytes, big-endian
    let mut length = [0; 4];
    stream.set_read_timeout(left())?;
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_ANSWER {
        return Err(io::Error::other(format!("the answer claims {length} bytes")));
    }
    let mut answer = vec![0; length];
    stream.set_read_timeout(left())?;
    stream.read_exact(&mut answer)?;
    parse(&answer).map_err(io::Error::other)
}

/// An SMB2 NEGOTIATE request (MS-SMB2 2.2.3) with its transport header. All integers are little-endian.
///
/// It offers 3.1.1, hence carries the negotiate contexts that dialect demands (2.2.3.1): SHA-512 for pre-authentication
/// integrity, and AES-128-GCM, so that a server that requires encryption answers, too. GUID and salt are zero: no
/// session follows.
fn request() -> Vec<u8> {
    let mut message = Vec::with_capacity(200);
    // header, 2.2.1.2
    message.extend(*b"\xfeSMB");
    message.extend(64u16.to_le_bytes()); // StructureSize
    message.extend(0u16.to_le_bytes()); // CreditCharge
    message.extend(0u32.to_le_bytes()); // Status
    message.extend(0u16.to_le_bytes()); // Command: NEGOTIATE
    message.extend(1u16.to_le_bytes()); // CreditRequest
    message.extend([0; 48]); // Flags, NextCommand, MessageId, Reserved, TreeId, SessionId, Signature
    // body, 2.2.3
    message.extend(36u16.to_le_bytes()); // StructureSize
    message.extend((DIALECTS.len() as u16).to_le_bytes()); // DialectCount
    message.extend(1u16.to_le_bytes()); // SecurityMode: signing enabled
    message.extend(0u16.to_le_bytes()); // Reserved
    message.extend(0x40u32.to_le_bytes()); // Capabilities: encryption
    message.extend([0; 16]); // ClientGuid
    let contexts = (HEADER + 36 + 2 * DIALECTS.len()).next_multiple_of(8);
    message.extend((contexts as u32).to_le_bytes()); // NegotiateContextOffset, from the header's start
    message.extend(2u16.to_le_bytes()); // NegotiateContextCount
    message.extend(0u16.to_le_bytes()); // Reserved2
    for dialect in DIALECTS {
        message.extend(dialect.to_le_bytes());
    }
    message.resize(contexts, 0);
    // SMB2_PREAUTH_INTEGRITY_CAPABILITIES, 2.2.3.1.1
    message.extend(1u16.to_le_bytes()); // ContextType
    message.extend(38u16.to_le_bytes()); // DataLength
    message.extend(0u32.to_le_bytes()); // Reserved
    message.extend(1u16.to_le_bytes()); // HashAlgorithmCount
    message.extend(32u16.to_le_bytes()); // SaltLength
    message.extend(1u16.to_le_bytes()); // SHA-512
    message.extend([0; 32]); // Salt
    message.resize(message.len().next_multiple_of(8), 0);
    // SMB2_ENCRYPTION_CAPABILITIES, 2.2.3.1.2
    message.extend(2u16.to_le_bytes()); // ContextType
    message.extend(4u16.to_le_bytes()); // DataLength
    message.extend(0u32.to_le_bytes()); // Reserved
    message.extend(1u16.to_le_bytes()); // CipherCount
    message.extend(2u16.to_le_bytes()); // AES-128-GCM

    let mut packet = (message.len() as u32).to_be_bytes().to_vec();
    packet.extend(message);
    packet
}

/// Checks an answer (MS-SMB2 2.2.4): protocol, command and status; gives the dialect.
fn parse(answer: &[u8]) -> Result<u16, String> {
    let u16_at = |at: usize| Some(u16::from_le_bytes(answer.get(at..at + 2)?.try_into().ok()?));
    let u32_at = |at: usize| Some(u32::from_le_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    if answer.get(..4) != Some(b"\xfeSMB") {
        return Err("the answer is not SMB2".to_owned());
    }
    match (u16_at(12), u32_at(8), u16_at(HEADER), u16_at(HEADER + 4)) {
        (Some(0), Some(0), Some(65), Some(dialect)) => Ok(dialect),
        (Some(0), Some(status), ..) if status != 0 => {
            Err(format!("NEGOTIATE was answered with status {status:#010x}"))
        }
        _ => Err("the answer is not one to NEGOTIATE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_request_is_well_formed() {
        let packet = request();
        assert_eq!(u32::from_be_bytes(packet[..4].try_into().unwrap()) as usize, packet.len() - 4);
        let offset = u32::from_le_bytes(packet[4 + 92..4 + 96].try_into().unwrap()) as usize;
        assert_eq!(offset % 8, 0);
        assert_eq!(packet[4 + offset..4 + offset + 4], [1, 0, 38, 0]);
        assert_eq!(packet[4 + offset + 48..4 + offset + 52], [2, 0, 4, 0]);
    }

    fn answer(command: u16, status: u32) -> Vec<u8> {
        let mut answer = vec![0; 80];
        answer[..4].copy_from_slice(b"\xfeSMB");
        answer[8..12].copy_from_slice(&status.to_le_bytes());
        answer[12..14].copy_from_slice(&command.to_le_bytes());
        answer[64] = 65;
        answer[68..70].copy_from_slice(&0x0311u16.to_le_bytes());
        answer
    }

    #[test]
    fn answers() {
        assert_eq!(parse(&answer(0, 0)), Ok(0x0311));
        assert!(parse(&answer(0, 0xc000_00bb)).unwrap_err().contains("0xc00000bb"));
        assert!(parse(&answer(1, 0)).is_err());
        assert!(parse(b"HTTP/1.1 400 Bad Request").is_err());
    }

    #[test]
    fn silence_ends_at_the_deadline() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let start = Instant::now();
        negotiate(listener.local_addr().unwrap(), Duration::from_millis(100)).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    proptest! {
        #[test]
        fn any_answer_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
