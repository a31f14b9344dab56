//! The cheapest source there can be: a thread a connection, and `sendfile`. It shows how much the
//! load client could take from a server that does nothing else.

use std::{
    env,
    fs::File,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::Command,
    thread,
};

use super::{Server, Site};
use crate::{Fallible, gauge::free_address};

const CALL_BYTES_MAX: u64 = 1024 * 1024;

/// Starts this very program as the source.
pub(crate) fn start(site: &Site) -> Fallible<Server> {
    let plain = free_address()?;
    let mut command = Command::new(env::current_exe()?);
    command
        .arg("--source")
        .arg(plain.to_string())
        .arg("--folder")
        .arg(site.root());
    Server::start("bare sendfile", &mut command, site.room("source")?, plain)
}

/// Serves the files under a root until it is killed.
pub(crate) fn serve(address: SocketAddr, root: &Path) -> Fallible<()> {
    let listener = TcpListener::bind(address)?;
    thread::scope(|scope| {
        for stream in listener.incoming() {
            let stream = stream?;
            // A reader that leaves in the middle is how every measure ends.
            scope.spawn(move || drop(answer(&stream, root)));
        }
        Ok(())
    })
}

fn answer(stream: &TcpStream, root: &Path) -> Fallible<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream;
    let mut path = root.to_owned();
    for line in BufReader::new(stream).lines() {
        let line = line?;
        if let Some(target) = line.strip_prefix("GET /") {
            let file = target.split(['?', ' ']).next();
            path = root.join(file.unwrap_or_default());
        }
        if !line.is_empty() {
            continue;
        }
        let file = File::open(&path)?;
        let metadata = file.metadata()?;
        let length = if metadata.is_file() {
            metadata.len()
        } else {
            0
        };
        write!(
            writer,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
        )?;
        let mut offset = 0;
        while offset < length {
            let call = CALL_BYTES_MAX.min(length - offset).try_into()?;
            rustix::fs::sendfile(stream, &file, Some(&mut offset), call)?;
        }
    }
    Ok(())
}
