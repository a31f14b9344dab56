//! The sockets: accepts, answers, closes.

use std::any::Any;
use std::convert::Infallible;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use http::{Request, Response};
use http_body_util::{BodyExt as _, Collected, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::answer::{self, Answer, Habits};
use crate::auth::Guard;
use crate::body::{Body, Step};
use crate::line::{Line, Socket, Wire};
use crate::record::{Log, Recorded};
use crate::script::Script;
use crate::shelf::Shelf;

/// What the handle and the tasks share.
pub(crate) struct State {
    pub(crate) host: String,
    pub(crate) shelf: Mutex<Shelf>,
    pub(crate) habits: Habits,
    pub(crate) guard: Guard,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) script: Script,
    pub(crate) log: Arc<Log>,
    /// Set before `hang_ups` is told, so that no connection slips between the two.
    pub(crate) down: AtomicBool,
    /// Ends every connection there is.
    pub(crate) hang_ups: watch::Sender<()>,
    /// What tasks panicked with; raised again when the handle is dropped.
    pub(crate) panics: Mutex<Vec<Box<dyn Any + Send>>>,
}

/// Accepts until aborted; the connections end with it.
pub(crate) async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((socket, _)) => {
                let hang_up = state.hang_ups.subscribe();
                if !state.down.load(Ordering::SeqCst) {
                    let served = connection(socket, hang_up, Arc::clone(&state));
                    connections.spawn(fenced(served, Arc::clone(&state)));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => panic!("cannot accept: {error}"),
        }
    }
}

/// Keeps a task's panic for the test.
pub(crate) async fn fenced(task: impl Future<Output = ()>, state: Arc<State>) {
    let mut task = pin!(task);
    let caught = std::future::poll_fn(|cx| {
        match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(None),
            Err(panic) => Poll::Ready(Some(panic)),
        }
    });
    if let Some(panic) = caught.await {
        state.panics.lock().push(panic);
    }
}

async fn connection(socket: TcpStream, mut hang_up: watch::Receiver<()>, state: Arc<State>) {
    if socket.set_nodelay(true).is_err() {
        return; // The client has left already.
    }
    let shaken = async {
        match &state.tls {
            None => Ok(Socket::Plain(socket)),
            Some(tls) => tls
                .accept(socket)
                .await
                .map(|tls| Socket::Tls(Box::new(tls))),
        }
    };
    let socket = tokio::select! {
        biased;
        _ = hang_up.changed() => return,
        shaken = shaken => match shaken {
            Ok(socket) => socket,
            Err(_) => return, // A client that does not trust us, or that we do not let in.
        },
    };
    let line = Arc::new(Line::default());
    let wire = Wire::new(socket, Arc::clone(&line));
    let service = service_fn(|request| respond(request, Arc::clone(&line), Arc::clone(&state)));
    let served = http1::Builder::new().serve_connection(wire, service);
    tokio::select! {
        biased;
        _ = hang_up.changed() => {}
        // An error is a client that left, or a scripted ending.
        _ = served => {}
    }
}

async fn respond(
    request: Request<Incoming>,
    line: Arc<Line>,
    state: Arc<State>,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    // A client that leaves within its request has no answer to get.
    let body = Limited::new(body, REQUEST_BYTES_MAX).collect().await;
    let body = body.map(Collected::to_bytes).unwrap_or_default();
    let request = Recorded::new(&Request::from_parts(head, body));
    let entry = state.log.arrive(request.clone());
    let answer = state.answer(&request);
    if let Some(pause) = answer.pause {
        pause.over().await;
    }
    match answer.instead {
        Some(ending) => line.end(ending),
        None => entry.answered(answer.status),
    }
    let steps = answer
        .steps
        .unwrap_or_else(|| vec![Step::Send(answer.bytes)]);
    let mut response = Response::new(Body::new(steps, line, entry));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    Ok(response)
}

impl State {
    /// Its own URL.
    pub(crate) fn origin(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.host)
    }

    fn answer(&self, request: &Recorded) -> Answer {
        let origin = self.origin();
        let answer = self
            .guard
            .stop(request, &origin)
            .unwrap_or_else(|| answer::answer(&self.shelf.lock(), &self.habits, request));
        match self.script.take(request, &answer) {
            Some(fault) => fault.spoil(answer, request, &origin),
            None => answer,
        }
    }
}

/// Forms for the token service are small.
const REQUEST_BYTES_MAX: usize = 1024 * 1024;
