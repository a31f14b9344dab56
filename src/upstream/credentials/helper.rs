//! Docker's credential helpers: programs that hand out a login for a registry.

use std::{
    collections::HashMap,
    ffi::OsString,
    io,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use serde::Deserialize;
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    time::{Instant, timeout_at},
};

use crate::{
    secret::Secret,
    upstream::{Credential, CredentialSource},
};

/// Longest run of a helper, whatever the request's own deadline is.
const RUN_MAX: Duration = Duration::from_secs(10);
/// Longest answer of a helper.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// How long a login is used before the helper is asked again; some are valid for minutes only.
const CACHED_MAX: Duration = Duration::from_mins(5);
/// How long a failure speaks for those who ask meanwhile; else they would wait in line for the same.
const FAILURE_CACHED_MAX: Duration = Duration::from_secs(5);
/// How long the answer after a refused one is left alone, though it may be refused as well: a wrong
/// login would run the program for each request.
const AFTER_REFUSAL_CACHED_MIN: Duration = Duration::from_secs(10);
/// Most answers that are kept. There are as many as the configuration has hosts with a helper.
const SLOTS_MAX: usize = 1000;

/// What a helper says, with a failing status, where it has no login: that is none of its failures.
const NOT_FOUND: &str = "credentials not found in native keychain";
/// What a helper calls the user of a refresh token.
const REFRESH_USERNAME: &str = "<token>";

/// Runs helpers, one at a time for each registry, and keeps what they say for a while.
#[derive(Debug, Default)]
pub(in crate::upstream) struct CredentialHelpers {
    /// Where programs are looked for; nothing: where the process's own `PATH` says.
    path: Option<OsString>,
    slots: Mutex<HashMap<HelperKey, Arc<HelperSlot>>>,
}

/// Why a helper gave no login. Says nothing of what it printed, which might be a secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{program} {what}")]
pub(in crate::upstream) struct HelperError {
    program: String,
    what: String,
}

/// A helper's name and what it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct HelperKey {
    name: String,
    server: String,
}

#[derive(Debug, Default)]
struct HelperSlot {
    /// Held while the helper runs.
    running: tokio::sync::Mutex<()>,
    cached: Mutex<Option<CachedHelperOutput>>,
    /// Whether what was kept last was thrown away because the registry refused it.
    was_refused: AtomicBool,
}

#[derive(Clone, Debug)]
struct CachedHelperOutput {
    output: Result<Option<Credential>, HelperError>,
    since: Instant,
    /// Whether it was asked for because the one before was refused.
    follows_refusal: bool,
}

impl CredentialHelpers {
    /// Looks for programs in these folders, written as in `PATH`, instead of the process's own.
    #[cfg(test)]
    pub(in crate::upstream) fn in_path(path: impl Into<OsString>) -> Self {
        Self {
            path: Some(path.into()),
            slots: Mutex::default(),
        }
    }

    /// The login of `docker-credential-NAME` for a server; none if the helper has none.
    ///
    /// # Errors
    /// See [`HelperError`]: it says which program, and how it failed.
    pub(in crate::upstream) async fn get(
        &self,
        name: &str,
        server: &str,
        deadline: Instant,
    ) -> Result<Option<Credential>, HelperError> {
        let slot = self.slot(name, server);
        let program = program(name);
        if let Some(answer) = slot.answer() {
            return answer;
        }
        let begun = Instant::now();
        let deadline = deadline.min(begun + RUN_MAX);
        let late = || HelperError {
            program: program.clone(),
            what: format!("took longer than {:?}", deadline.duration_since(begun)),
        };
        let turn = timeout_at(deadline, slot.running.lock());
        let _turn = turn.await.map_err(|_elapsed| late())?;
        // The previous holder has most likely asked the same.
        if let Some(answer) = slot.answer() {
            return answer;
        }
        let run = timeout_at(deadline, self.run(name, &program, server));
        let answer = match run.await {
            Ok(answer) => answer,
            // Somebody else may have more time.
            Err(_elapsed) if begun.elapsed() < RUN_MAX => return Err(late()),
            Err(_elapsed) => Err(late()),
        };
        *slot.cached.lock() = Some(CachedHelperOutput {
            output: answer.clone(),
            since: Instant::now(),
            follows_refusal: slot.was_refused.swap(false, Ordering::Relaxed),
        });
        answer
    }

    /// The registry does not accept a login that the helper gave: whether there may be another. A
    /// newer one in its place stays, and a helper that was asked just now is not asked again.
    pub(in crate::upstream) fn discard_refused(
        &self,
        name: &str,
        server: &str,
        login: &Credential,
    ) -> bool {
        let slot = self.slot(name, server);
        let mut kept = slot.cached.lock();
        let Some(now) = kept.as_ref() else {
            return true;
        };
        if !matches!(&now.output, Ok(Some(held)) if held == login) {
            return true;
        }
        if now.follows_refusal && now.since.elapsed() < AFTER_REFUSAL_CACHED_MIN {
            return false;
        }
        *kept = None;
        slot.was_refused.store(true, Ordering::Relaxed);
        true
    }

    fn slot(&self, name: &str, server: &str) -> Arc<HelperSlot> {
        let key = HelperKey {
            name: name.to_owned(),
            server: server.to_owned(),
        };
        let mut slots = self.slots.lock();
        if slots.len() >= SLOTS_MAX && !slots.contains_key(&key) {
            slots.retain(|_key, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(slots.entry(key).or_default())
    }

    async fn run(
        &self,
        name: &str,
        program: &str,
        server: &str,
    ) -> Result<Option<Credential>, HelperError> {
        let failed = |what: String| HelperError {
            program: program.to_owned(),
            what,
        };
        if !CredentialSource::is_helper_name(name) {
            return Err(failed("is not a valid program name".to_owned()));
        }
        let mut child = self.start(program).map_err(|error| {
            failed(match error.kind() {
                io::ErrorKind::NotFound => "not found in PATH".to_owned(),
                kind => format!("could not be started: {kind}"),
            })
        })?;
        let (answer, status) = query(&mut child, server)
            .await
            .map_err(|error| failed(format!("could not be asked: {}", error.kind())))?;
        if u64::try_from(answer.len()).is_ok_and(|length| length > ANSWER_BYTES_MAX) {
            return Err(failed(format!(
                "answered more than {ANSWER_BYTES_MAX} bytes"
            )));
        }
        if status.success() {
            return parse_output(&answer).map_err(|what| failed(what.to_owned()));
        }
        if answer.trim_ascii() == NOT_FOUND.as_bytes() {
            return Ok(None);
        }
        Err(failed(format!("failed with {status}")))
    }

    fn start(&self, program: &str) -> io::Result<Child> {
        let mut command = Command::new(program);
        if let Some(path) = &self.path {
            command.env("PATH", path);
        }
        command
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
    }
}

/// What a helper's program is called.
pub(in crate::upstream) fn program(name: &str) -> String {
    format!("docker-credential-{name}")
}

impl HelperSlot {
    /// What is still believed.
    fn answer(&self) -> Option<Result<Option<Credential>, HelperError>> {
        let kept = self.cached.lock();
        let CachedHelperOutput {
            output: answer,
            since,
            ..
        } = kept.as_ref()?;
        let kept_max = match answer {
            Ok(_) => CACHED_MAX,
            Err(_) => FAILURE_CACHED_MAX,
        };
        (since.elapsed() < kept_max).then(|| answer.clone())
    }
}

/// Says the server, hears the answer (up to one byte too many), and waits for the end.
async fn query(child: &mut Child, server: &str) -> io::Result<(Vec<u8>, std::process::ExitStatus)> {
    if let Some(mut stdin) = child.stdin.take() {
        // A helper may answer without having listened.
        let _unheard = stdin
            .write_all(format!("{server}\n").as_bytes())
            .await
            .is_err();
    }
    let mut answer = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        let mut stdout = stdout.take(ANSWER_BYTES_MAX + 1);
        stdout.read_to_end(&mut answer).await?;
    }
    Ok((answer, child.wait().await?))
}

/// Reads what a helper prints: `{"ServerURL": …, "Username": …, "Secret": …}`.
fn parse_output(answer: &[u8]) -> Result<Option<Credential>, &'static str> {
    #[derive(Deserialize)]
    struct HelperOutput {
        #[serde(rename = "Username")]
        username: String,
        #[serde(rename = "Secret")]
        secret: String,
    }
    // The parser's own error might repeat a part of the answer.
    let answer: HelperOutput = serde_json::from_slice(answer)
        .map_err(|_error| "did not answer with Username and Secret")?;
    let HelperOutput { username, secret } = answer;
    match (username.as_str(), secret.as_str()) {
        ("", "") => Ok(None),
        ("", _) => Err("answered without a user name"),
        (_, "") => Err("answered without a secret"),
        (REFRESH_USERNAME, _) => Ok(Some(Credential::Refresh(Secret::new(secret)))),
        (name, _) if name.contains(|letter: char| letter == ':' || letter.is_control()) => {
            Err("answered with a user name that cannot be sent")
        }
        _ => Ok(Some(Credential::Password {
            username,
            password: Secret::new(secret),
        })),
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, process};

    use super::*;

    /// A folder with one program, `docker-credential-x`.
    struct Stage {
        folder: tempfile::TempDir,
        helpers: CredentialHelpers,
    }

    impl Stage {
        fn new(script: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let text = folder.path().join("text");
            std::fs::write(&text, format!("#!/bin/sh\n{script}\n")).unwrap();
            let program = folder.path().join("docker-credential-x");
            // Another process writes it: a file that this one has open, though only while another
            // thread starts a program, cannot be run.
            let install = process::Command::new("install")
                .args(["-m", "755"])
                .args([&text, &program])
                .status();
            assert!(install.unwrap().success());
            let helpers =
                CredentialHelpers::in_path(format!("{}:/usr/bin:/bin", folder.path().display()));
            Self { folder, helpers }
        }

        async fn get(&self) -> Result<Option<Credential>, String> {
            let deadline = Instant::now() + Duration::from_mins(1);
            let got = self.helpers.get("x", "a.example", deadline).await;
            got.map_err(|error| error.to_string())
        }

        /// How often the program has said so.
        fn runs(&self) -> usize {
            let runs = std::fs::read(self.path().join("runs"));
            runs.map_or(0, |runs| runs.len())
        }

        fn path(&self) -> &Path {
            self.folder.path()
        }
    }

    /// Answers with a password, and counts.
    const COUNTS: &str = r#"printf . >> "$(dirname "$0")/runs"
printf '{"Username":"me","Secret":"canary"}'"#;

    fn password(username: &str, password: &str) -> Credential {
        Credential::Password {
            username: username.into(),
            password: Secret::new(password),
        }
    }

    #[tokio::test]
    async fn a_helper_is_asked_as_docker_asks_it() {
        let stage = Stage::new(
            r#"read -r server
printf '{"ServerURL":"%s","Username":"%s","Secret":"%s"}' "$server" "$1" "$server""#,
        );
        assert_eq!(stage.get().await, Ok(Some(password("get", "a.example"))));
    }

    #[tokio::test]
    async fn what_helpers_answer() {
        let login = |answer: &str| format!("printf '%s' '{answer}'");
        for (script, expected) in [
            (
                login(r#"{"Username":"<token>","Secret":"canary"}"#),
                Ok(Some(Credential::Refresh(Secret::new("canary")))),
            ),
            (login(r#"{"Username":"","Secret":""}"#), Ok(None)),
            (format!("echo '{NOT_FOUND}'; exit 1"), Ok(None)),
            (
                "echo canary; echo canary >&2; exit 3".to_owned(),
                Err("failed with exit status: 3"),
            ),
            (
                login("canary"),
                Err("did not answer with Username and Secret"),
            ),
            (
                login(r#"{"Username":"me","Secret":5,"canary":1}"#),
                Err("did not answer with Username and Secret"),
            ),
            (
                login(r#"{"Username":"me","Secret":""}"#),
                Err("answered without a secret"),
            ),
            (
                login(r#"{"Username":"","Secret":"canary"}"#),
                Err("answered without a user name"),
            ),
            (
                login(r#"{"Username":"a:canary","Secret":"canary"}"#),
                Err("answered with a user name that cannot be sent"),
            ),
            (
                "head -c 70000 /dev/zero".to_owned(),
                Err("answered more than 65536 bytes"),
            ),
        ] {
            let got = Stage::new(&script).get().await;
            let expected = expected.map_err(|what| format!("docker-credential-x {what}"));
            assert_eq!(got, expected, "{script}");
            assert!(!format!("{got:?}").contains("canary"), "{got:?}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_run() {
        let helpers = Stage::new("").helpers;
        let deadline = Instant::now() + Duration::from_mins(1);
        for (name, what) in [
            ("absent", "docker-credential-absent not found in PATH"),
            ("../x", "docker-credential-../x is not a valid program name"),
        ] {
            let error = helpers.get(name, "a", deadline).await.unwrap_err();
            assert_eq!(error.to_string(), what);
        }
    }

    #[tokio::test]
    async fn an_answer_is_kept_until_it_is_refused() {
        let stage = Stage::new(COUNTS);
        let login = Ok(Some(password("me", "canary")));
        let both = tokio::join!(stage.get(), stage.get());
        assert_eq!(both, (login.clone(), login.clone()));
        assert_eq!((stage.get().await, stage.runs()), (login.clone(), 1));
        let refused = |server, password_: &str| {
            let login = password("me", password_);
            stage.helpers.discard_refused("x", server, &login)
        };
        assert!(refused("other.example", "canary"));
        assert_eq!((stage.get().await, stage.runs()), (login.clone(), 1));
        assert!(refused("a.example", "older"), "there is a newer one");
        assert_eq!((stage.get().await, stage.runs()), (login.clone(), 1));
        assert!(refused("a.example", "canary"));
        assert_eq!((stage.get().await, stage.runs()), (login.clone(), 2));
        assert!(!refused("a.example", "canary"), "it has just been asked");
        assert_eq!((stage.get().await, stage.runs()), (login.clone(), 2));
        tokio::time::pause();
        tokio::time::advance(CACHED_MAX).await;
        tokio::time::resume();
        assert_eq!((stage.get().await, stage.runs()), (login, 3));
    }

    #[tokio::test]
    async fn a_failure_speaks_for_those_who_wait() {
        let stage = Stage::new(r#"printf . >> "$(dirname "$0")/runs"; exit 1"#);
        let (one, other) = tokio::join!(stage.get(), stage.get());
        assert_eq!(
            (one.is_err(), other.is_err(), stage.runs()),
            (true, true, 1)
        );
        tokio::time::pause();
        tokio::time::advance(FAILURE_CACHED_MAX).await;
        tokio::time::resume();
        assert_eq!((stage.get().await.is_err(), stage.runs()), (true, 2));
    }

    #[tokio::test]
    async fn a_helper_that_hangs_is_ended() {
        // It tells its number, and never ends by itself.
        let stage = Stage::new(r#"echo $$ > "$(dirname "$0")/pid"; exec sleep 1000"#);
        let deadline = Instant::now() + Duration::from_millis(300);
        let late = stage.helpers.get("x", "a.example", deadline).await;
        let text = late.unwrap_err().to_string();
        assert!(
            text.starts_with("docker-credential-x took longer than"),
            "{text}"
        );
        let pid = std::fs::read_to_string(stage.path().join("pid")).unwrap();
        let status = Path::new("/proc").join(pid.trim()).join("stat");
        let is_gone = || match std::fs::read_to_string(&status) {
            // What is left of an ended process until somebody has heard of its end.
            Ok(text) => text.contains(") Z "),
            Err(_) => true,
        };
        let gone = async {
            while !is_gone() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone)
            .await
            .unwrap();
    }
}
