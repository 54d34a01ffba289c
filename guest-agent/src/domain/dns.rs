//! Questions to the name servers of `/etc/resolv.conf`, with a deadline of our own: a silent server keeps Samba's tools waiting
//! for 10 s, whatever they are told.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};

/// For one question to one server.
const ANSWERS: Duration = Duration::from_secs(2);
/// What a server may send by UDP, and what we take by TCP.
const LARGEST: usize = 16 << 10;
/// resolv.conf(5), MAXNS
const SERVERS: usize = 3;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DnsError {
    /// resolv.conf names nobody.
    #[error("/etc/resolv.conf names no server")]
    NoServer,
    /// The name does not exist, or has no such record.
    #[error("{server} does not know {name}")]
    Unknown { server: IpAddr, name: String },
    /// The server will not say.
    #[error("{server} refuses to answer ({code})")]
    Refused { server: IpAddr, code: String },
    /// Nothing came.
    #[error("{servers} does not answer")]
    Silent { servers: String },
}

/// A server of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    /// Lowest first (RFC 2782).
    pub(crate) priority: u16,
    /// Highest first.
    pub(crate) weight: u16,
    /// Host, in lower case.
    pub(crate) host: String,
}

/// The name servers that a resolv.conf(5) names.
pub(crate) fn servers(resolv_conf: &str) -> Vec<IpAddr> {
    resolv_conf
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .filter_map(|rest| rest.trim().split('%').next()?.parse().ok())
        .take(SERVERS)
        .collect()
}

/// Asks servers in turn.
pub(crate) struct Resolver {
    servers: Vec<SocketAddr>,
}

impl Resolver {
    /// Of a resolv.conf.
    pub(crate) fn of(resolv_conf: &str) -> Self {
        Self { servers: servers(resolv_conf).into_iter().map(|server| (server, 53).into()).collect() }
    }

    /// Servers of a service, best first.
    pub(crate) fn services(&self, name: &str) -> Result<Vec<Service>, DnsError> {
        let mut found = self.ask(name, TYPE::SRV, |data| match data {
            RData::SRV(srv) => Some(Service {
                priority: srv.priority,
                weight: srv.weight,
                host: srv.target.to_string().trim_end_matches('.').to_ascii_lowercase(),
            }),
            _ => None,
        })?;
        found.sort_by(|a, b| (a.priority, b.weight, &a.host).cmp(&(b.priority, a.weight, &b.host)));
        Ok(found)
    }

    /// IPv4 addresses of a host.
    pub(crate) fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, DnsError> {
        self.ask(name, TYPE::A, |data| match data {
            RData::A(a) => Some(IpAddr::from(a.address.to_be_bytes())),
            _ => None,
        })
    }

    /// Names of an IPv4 address.
    pub(crate) fn names(&self, address: std::net::Ipv4Addr) -> Result<Vec<String>, DnsError> {
        let [a, b, c, d] = address.octets();
        self.ask(&format!("{d}.{c}.{b}.{a}.in-addr.arpa"), TYPE::PTR, |data| match data {
            RData::PTR(ptr) => Some(ptr.0.to_string().trim_end_matches('.').to_ascii_lowercase()),
            _ => None,
        })
    }

    /// The first answer that says anything.
    fn ask<T>(
        &self,
        name: &str,
        kind: TYPE,
        pick: impl Fn(&RData<'_>) -> Option<T>,
    ) -> Result<Vec<T>, DnsError> {
        if self.servers.is_empty() {
            return Err(DnsError::NoServer);
        }
        let mut refusal = None;
        for (number, server) in self.servers.iter().enumerate() {
            let Some(query) = query(number as u16 + 1, name, kind) else {
                return Err(DnsError::Unknown { server: server.ip(), name: name.to_owned() });
            };
            let Some(reply) = exchange(*server, &query) else { continue };
            let Ok(packet) = Packet::parse(&reply) else { continue };
            match packet.rcode() {
                RCODE::NoError | RCODE::NameError => {
                    let found: Vec<T> =
                        packet.answers.iter().filter_map(|answer| pick(&answer.rdata)).collect();
                    if !found.is_empty() {
                        return Ok(found);
                    }
                    // a second server has no other truth than the first (resolver(3) stops here, too)
                    return Err(DnsError::Unknown { server: server.ip(), name: name.to_owned() });
                }
                code => {
                    refusal
                        .get_or_insert(DnsError::Refused { server: server.ip(), code: format!("{code:?}") });
                }
            }
        }
        Err(refusal.unwrap_or_else(|| {
            let servers: Vec<_> = self.servers.iter().map(|server| server.ip().to_string()).collect();
            DnsError::Silent { servers: servers.join(", ") }
        }))
    }
}

fn query(id: u16, name: &str, kind: TYPE) -> Option<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).ok()?;
    packet.questions.push(Question::new(name, QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false));
    packet.build_bytes_vec().ok()
}

/// By UDP, and by TCP where the answer does not fit.
fn exchange(server: SocketAddr, query: &[u8]) -> Option<Vec<u8>> {
    let reply = by_udp(server, query)?;
    let truncated = Packet::parse(&reply).map_or(true, |packet| packet.has_flags(PacketFlag::TRUNCATION));
    if truncated { by_tcp(server, query).or(Some(reply)) } else { Some(reply) }
}

fn by_udp(server: SocketAddr, query: &[u8]) -> Option<Vec<u8>> {
    let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(server).ok()?;
    let deadline = Instant::now() + ANSWERS;
    socket.send(query).ok()?;
    let mut buffer = vec![0; LARGEST];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        socket.set_read_timeout(Some(left).filter(|left| !left.is_zero())).ok()?;
        if left.is_zero() {
            return None;
        }
        let length = socket.recv(&mut buffer).ok()?;
        // an answer to another question is none
        if length >= 12 && buffer[..2] == query[..2] {
            buffer.truncate(length);
            return Some(buffer);
        }
    }
}

fn by_tcp(server: SocketAddr, query: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, ANSWERS).ok()?;
    stream.set_read_timeout(Some(ANSWERS)).ok()?;
    stream.set_write_timeout(Some(ANSWERS)).ok()?;
    let length = u16::try_from(query.len()).ok()?;
    stream.write_all(&[&length.to_be_bytes(), query].concat()).ok()?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length)).min(LARGEST)];
    stream.read_exact(&mut reply).ok()?;
    Some(reply)
}

#[cfg(test)]
mod tests {
    use super::*;
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::{A, SRV};

    /// A name server that answers one question.
    fn server(answer: impl Fn(&mut Packet<'_>) + Send + 'static) -> SocketAddr {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let address = socket.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            let (length, from) = socket.recv_from(&mut buffer).unwrap();
            let query = Packet::parse(&buffer[..length]).unwrap();
            let mut reply = Packet::new_reply(query.id());
            answer(&mut reply);
            socket.send_to(&reply.build_bytes_vec().unwrap(), from).unwrap();
        });
        address
    }

    #[test]
    fn resolv_conf() {
        let text = "search lab.test\n# nameserver 1.1.1.1\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nnameserver x\n";
        let expected: [IpAddr; 2] = ["10.0.0.1".parse().unwrap(), "fe80::1".parse().unwrap()];
        assert_eq!(servers(text), expected);
        assert_eq!(Resolver::of("").addresses("a.b"), Err(DnsError::NoServer));
    }

    #[test]
    fn services_in_their_order() {
        let record = |priority, weight, host| {
            let target = Name::new_unchecked(host);
            let data = RData::SRV(SRV { priority, weight, port: 389, target });
            ResourceRecord::new(Name::new_unchecked("_ldap._tcp.lab.test"), CLASS::IN, 60, data)
        };
        let address = server(move |reply| {
            reply.answers.push(record(10, 5, "c.lab.test"));
            reply.answers.push(record(0, 5, "b.lab.test"));
            reply.answers.push(record(0, 90, "A.lab.test"));
        });
        let hosts: Vec<_> = Resolver { servers: vec![address] }
            .services("_ldap._tcp.lab.test")
            .unwrap()
            .into_iter()
            .map(|service| service.host)
            .collect();
        assert_eq!(hosts, ["a.lab.test", "b.lab.test", "c.lab.test"]);
    }

    #[test]
    fn a_silent_server_is_passed_over_in_time() {
        let silent = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let good = server(|reply| {
            let data = RData::A(A { address: u32::from_be_bytes([10, 0, 0, 9]) });
            reply.answers.push(ResourceRecord::new(Name::new_unchecked("a.b"), CLASS::IN, 60, data));
        });
        let start = Instant::now();
        let servers = vec![silent.local_addr().unwrap(), good];
        assert_eq!(Resolver { servers }.addresses("a.b").unwrap(), ["10.0.0.9".parse::<IpAddr>().unwrap()]);
        assert!(start.elapsed() < ANSWERS * 3);
    }

    #[test]
    fn what_is_not_there_and_what_is_refused() {
        let refused = server(|reply| *reply.rcode_mut() = RCODE::Refused);
        let unknown = server(|reply| *reply.rcode_mut() = RCODE::NameError);
        let ask = |server| Resolver { servers: vec![server] }.addresses("a.b").unwrap_err();
        assert!(matches!(ask(refused), DnsError::Refused { .. }));
        assert!(matches!(ask(unknown), DnsError::Unknown { .. }));
    }
}
