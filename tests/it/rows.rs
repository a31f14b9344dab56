//! Table tests: every row runs, and all that differ are reported at the end.

use std::fmt::Debug;

use fake_registry::bare::Reply;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::mirror::Mirror;

/// Compares row by row, and fails at the end with all rows that differ.
#[derive(Default)]
pub(crate) struct Rows(Vec<String>);

impl Rows {
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a table's row is written as it reads"
    )]
    pub(crate) fn same<T: PartialEq + Debug>(&mut self, row: &str, got: T, want: T) {
        if got != want {
            self.0.push(format!("row {row}: {got:?}, not {want:?}"));
        }
    }

    #[expect(clippy::fn_params_excessive_bools, reason = "it is an assertion")]
    pub(crate) fn holds(&mut self, row: &str, holds: bool, what: &impl Debug) {
        if !holds {
            self.0.push(format!("row {row}: {what:?}"));
        }
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        assert!(
            self.0.is_empty() || std::thread::panicking(),
            "{}",
            self.0.join("\n")
        );
    }
}

/// Sends these very bytes and reads to the connection's end.
pub(crate) async fn raw(mirror: &Mirror, bytes: impl AsRef<[u8]>) -> Reply {
    let mut socket = TcpStream::connect(mirror.address()).await.unwrap();
    socket.write_all(bytes.as_ref()).await.unwrap();
    Reply::read(socket).await
}
