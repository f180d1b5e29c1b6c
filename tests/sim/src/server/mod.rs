//! The simulated service on a socket of this machine.
//!
//! [`Sim`] runs on a thread and runtime of its own, so that it serves asynchronous and blocking
//! tests alike, whatever their runtime's clock does. Dropping it stops it.

mod answer;
mod handle;
mod list;
mod log;
mod options;
mod state;
mod wire;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

pub(crate) use answer::Answer;
pub(crate) use handle::{Received, replacement};
pub use log::RequestLog;
pub use options::{
    AboveCap, Accepted, DEFAULT_AUTHORIZATION, PageLimits, SimOptions, Throttled, Total,
};

use crate::authority::TokenRequestLog;
use crate::faults::Fault;
use crate::tenant::Tenant;
use state::State;

/// A running server.
pub struct Sim {
    state: Arc<State>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sim {
    /// Starts a server for `tenant` on 127.0.0.1.
    #[expect(
        clippy::unused_async,
        reason = "starting may have to wait one day; callers should not notice"
    )]
    pub async fn start(tenant: Tenant, options: SimOptions) -> io::Result<Self> {
        Self::start_blocking(tenant, options)
    }

    /// As [`Sim::start`], for callers without a runtime.
    pub fn start_blocking(tenant: Tenant, options: SimOptions) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let state = Arc::new(State::new(tenant, options));
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&state);
        let thread = std::thread::Builder::new()
            .name("mdca-sim".to_owned())
            .spawn(move || runtime.block_on(accept(listener, serving, stopped)))?;
        Ok(Self {
            state,
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// `http://127.0.0.1:<port>`, without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The tenant that is served; a handle through which records can be added.
    pub fn tenant(&self) -> Tenant {
        self.state.tenant.clone()
    }

    /// All requests so far, in the order of their answers.
    pub fn requests(&self) -> Vec<RequestLog> {
        self.state.changing().log.clone()
    }

    /// Forgets the requests so far; page numbers and faults stay.
    pub fn clear_requests(&self) {
        self.state.changing().log.clear();
    }

    /// Adds a fault to the plan.
    pub fn add_fault(&self, fault: Fault) {
        self.state.changing().plan.add(fault);
    }

    /// How often scripted faults have yet to happen, endless ones left out: 0 means that a test met all.
    pub fn faults_left(&self) -> u64 {
        self.state.changing().plan.left()
    }

    /// All requests for tokens so far. They are none of [`Sim::requests`].
    pub fn token_requests(&self) -> Vec<TokenRequestLog> {
        let changing = self.state.changing();
        let authority = changing.authority.as_ref();
        authority.map_or(Vec::new(), |authority| authority.log.clone())
    }

    /// Adds a fault to the plan of the authority.
    pub fn add_authority_fault(&self, fault: Fault) {
        if let Some(authority) = &mut self.state.changing().authority {
            authority.plan.add(fault);
        }
    }

    /// From now on the application has these secrets, and no others.
    pub fn rotate_secrets(&self, secrets: &[&str]) {
        if let Some(authority) = &mut self.state.changing().authority {
            authority.options.secrets = secrets.iter().map(|&secret| secret.to_owned()).collect();
        }
    }

    /// The same of the tokens of another issuer that it trusts.
    pub fn rotate_federated(&self, tokens: &[&str]) {
        if let Some(authority) = &mut self.state.changing().authority {
            authority.options.federated = tokens.iter().map(|&token| token.to_owned()).collect();
        }
    }

    /// Accepts another credential, as a token endpoint would after issuing it.
    pub fn accept(&self, accepted: Accepted) {
        self.state.changing().accepted.push(accepted);
    }

    /// Accepts no credential any more.
    pub fn revoke_all(&self) {
        self.state.changing().accepted.clear();
    }

    /// Stops the server and closes its connections.
    pub fn stop(self) {}
}

impl Drop for Sim {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // An error means that the thread has ended already.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the simulator's thread panicked");
        }
    }
}

async fn accept(listener: TcpListener, state: Arc<State>, mut stopped: oneshot::Receiver<()>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "cannot listen");
            return;
        }
    };
    loop {
        tokio::select! {
            _ = &mut stopped => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    tokio::spawn(wire::serve(stream, Arc::clone(&state)));
                }
                Err(error) => tracing::warn!(%error, "cannot accept a connection"),
            },
        }
    }
}
