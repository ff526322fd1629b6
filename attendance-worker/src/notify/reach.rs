//! Which addresses may be sent to. A webhook's address is anybody's choice, so it must not lead to what only we can reach:
//! names are resolved here, every address that comes of one is checked, and the connection goes to those that were checked.

use ipnet::IpNet;
use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

/// Why nothing is sent to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreachable {
    /// It leads where it must not.
    #[error("the address is in a network that may not be sent to")]
    Forbidden,
    /// It is in the open, and not one of our own networks.
    #[error("without TLS only networks of `private_networks` may be sent to")]
    Open,
    /// Nobody knows the name.
    #[error("the name cannot be resolved")]
    Unknown,
    /// It is no address of HTTP.
    #[error("the address is not one of HTTP")]
    NotHttp,
}

/// What may be sent to.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    /// Networks that are not of the internet and are allowed.
    private_networks: Arc<[IpNet]>,
    /// Whether the internet is allowed.
    internet: bool,
}

impl Reach {
    /// For connections under TLS, or in the open.
    pub(super) fn new(private_networks: &[IpNet], is_tls: bool) -> Self {
        Self { private_networks: private_networks.into(), internet: is_tls }
    }

    fn check(&self, address: IpAddr) -> Result<(), Unreachable> {
        let address = address.to_canonical();
        if self.private_networks.iter().any(|network| network.contains(&address)) {
            return Ok(());
        }
        match (is_global(address), self.internet) {
            (true, true) => Ok(()),
            (true, false) => Err(Unreachable::Open),
            (false, _) => Err(Unreachable::Forbidden),
        }
    }

    /// Refuses an address that is given by its number: such a one is never resolved.
    pub(super) fn check_url(&self, url: &Url) -> Result<(), Unreachable> {
        match url.host() {
            Some(url::Host::Ipv4(address)) => self.check(address.into()),
            Some(url::Host::Ipv6(address)) => self.check(address.into()),
            Some(url::Host::Domain(_)) => Ok(()),
            None => Err(Unreachable::NotHttp),
        }
    }

    /// All of them, or none: a name that leads both ways is a trap.
    fn check_all(&self, addresses: &[SocketAddr]) -> Result<(), Unreachable> {
        if addresses.is_empty() {
            return Err(Unreachable::Unknown);
        }
        addresses.iter().try_for_each(|address| self.check(address.ip()))
    }
}

impl Resolve for Reach {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let addresses: Vec<SocketAddr> = found.map_err(|_| Unreachable::Unknown)?.collect();
            reach.check_all(&addresses)?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is one of the internet (IANA special-purpose address registries, RFC 6890), an IPv4 address inside
/// an IPv6 one included.
fn is_global(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_global_v4(address),
        IpAddr::V6(address) => is_global_v6(address),
    }
}

fn is_global_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        // Shared by carriers (RFC 6598); protocols (RFC 6890); an abandoned relay (RFC 7526); benchmarks (RFC 2544).
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b));
    !special
}

fn is_global_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    let embedded = |high: u16, low: u16| {
        let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
        is_global_v4(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        // Translated to IPv4 on the way (RFC 6052), and 6to4 (RFC 3056).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => embedded(high, low),
        // Protocols, Teredo among them (RFC 6890), and documentation (RFC 3849, RFC 9637).
        [0x2001, second, ..] => second >= 0x200 && second != 0xdb8,
        [0x3fff, second, ..] => second >= 0x1000,
        // Whatever else is of the internet is in here (RFC 4291).
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_of_the_internet_is_not_sent_to() {
        let forbidden = [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:1ff::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "3fff::1",
            "4000::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for address in forbidden {
            assert!(!is_global(address.parse().unwrap()), "{address}");
        }
        let global = [
            "1.1.1.1",
            "9.9.9.9",
            "100.63.0.1",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2002:101:101::1",
            "2606:4700:4700::1111",
            "3fff:1000::1",
        ];
        for address in global {
            assert!(is_global(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn networks_of_ones_own_are_allowed_by_name_only() {
        let networks = ["10.1.0.0/16".parse().unwrap(), "fd00:1::/32".parse().unwrap()];
        let (tls, open) = (Reach::new(&networks, true), Reach::new(&networks, false));
        for (address, under_tls, in_the_open) in [
            ("10.1.2.3", Ok(()), Ok(())),
            ("::ffff:10.1.2.3", Ok(()), Ok(())),
            ("fd00:1::1", Ok(()), Ok(())),
            ("10.2.0.1", Err(Unreachable::Forbidden), Err(Unreachable::Forbidden)),
            ("1.1.1.1", Ok(()), Err(Unreachable::Open)),
        ] {
            let address = address.parse().unwrap();
            assert_eq!((tls.check(address), open.check(address)), (under_tls, in_the_open), "{address}");
        }
    }

    #[test]
    fn one_bad_address_spoils_a_name() {
        let reach = Reach::new(&[], true);
        let at = |address: &str| SocketAddr::new(address.parse().unwrap(), 443);
        assert_eq!(reach.check_all(&[at("1.1.1.1"), at("1.0.0.1")]), Ok(()));
        assert_eq!(reach.check_all(&[at("1.1.1.1"), at("127.0.0.1")]), Err(Unreachable::Forbidden));
        assert_eq!(reach.check_all(&[]), Err(Unreachable::Unknown));
    }

    /// However an address is written, it is what it is: the parser of addresses makes one form of all.
    #[test]
    fn numbers_in_disguise_are_numbers() {
        let reach = Reach::new(&[], true);
        for url in [
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://127.1/",
            "https://[::1]/",
            "https://[::ffff:7f00:1]/",
            "https://[0:0:0:0:0:ffff:169.254.169.254]/",
            "https://0/",
            "https://user@127.0.0.1:8443/path",
            "https://①②⑦.0.0.1/",
        ] {
            assert_eq!(reach.check_url(&url.parse().unwrap()), Err(Unreachable::Forbidden), "{url}");
        }
        assert_eq!(reach.check_url(&"https://1.1.1.1/".parse().unwrap()), Ok(()));
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_not_sent_to() {
        let error = Reach::new(&[], true).resolve("localhost".parse().unwrap()).await.err().unwrap();
        assert_eq!(error.downcast_ref(), Some(&Unreachable::Forbidden));
    }
}
