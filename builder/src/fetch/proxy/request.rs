//! Requests to a proxy for `http://`.

use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// Finds the proxy's address, whatever is asked for.
#[derive(Debug)]
pub(in crate::fetch) struct ToProxy {
    pub(in crate::fetch) proxy: Uri,
    pub(in crate::fetch) resolver: DefaultResolver,
}

impl Resolver for ToProxy {
    fn resolve(
        &self,
        _: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        self.resolver.resolve(&self.proxy, config, timeout)
    }
}

/// Makes of each connection one that asks a proxy: requests carry the whole address. ureq itself asks for a tunnel even for
/// `http://`, which usual proxies (Squid, apt-cacher-ng) refuse but for port 443. Source: RFC 9112, section 3.2.2.
#[derive(Debug)]
pub(in crate::fetch) struct AskProxy;

impl<In: Transport> Connector<In> for AskProxy {
    type Out = Asking<In>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let (host, port) = (details.uri.host().unwrap_or_default(), details.uri.port_u16());
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        Ok(chained.map(|inner| Asking { inner, origin: format!("http://{host}{port}") }))
    }
}

/// A connection to a proxy.
#[derive(Debug)]
pub(in crate::fetch) struct Asking<In> {
    inner: In,
    origin: String,
}

impl<In: Transport> Transport for Asking<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        /// How every request here begins, and where its address does: we ask only, and send nothing.
        const BEGIN: &[u8] = b"GET /";
        const ADDRESS: usize = 4;
        let output = self.inner.buffers().output();
        let begins = output.get(..amount).is_some_and(|head| head.starts_with(BEGIN));
        if !begins {
            return self.inner.transmit_output(amount, timeout);
        }
        let longer = amount + self.origin.len();
        if longer > output.len() {
            return Err(std::io::Error::other("the address is too long for a request").into());
        }
        output.copy_within(ADDRESS..amount, ADDRESS + self.origin.len());
        output[ADDRESS..ADDRESS + self.origin.len()].copy_from_slice(self.origin.as_bytes());
        self.inner.transmit_output(longer, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }
}
