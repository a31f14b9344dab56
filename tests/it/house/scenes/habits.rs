//! What a single file may not do.

use super::{
    super::habits::{lengths_and_names, touches_and_statuses},
    code, sources,
};

fn touches(path: &str, text: &str) -> Vec<String> {
    touches_and_statuses(&code(&[(path, text)]))
}

#[test]
fn files_and_statuses_have_their_places() {
    for text in [
        "use std::fs;",
        "fn f() { tokio::fs::read(1); }",
        "fn f() { debug!(std::fs::read(1)); }",
    ] {
        assert_eq!(
            touches("src/store.rs", text),
            ["src/store.rs touches files"]
        );
        assert_eq!(touches("src/disk.rs", text), [""; 0]);
    }
    let wrong = touches("src/oci.rs", "async fn f(_: TcpStream) {}");
    assert_eq!(wrong, ["src/oci.rs waits or does I/O"]);
    for text in [
        "fn f() { http::StatusCode::NOT_FOUND }",
        "fn f() { matches!(status, StatusCode::NOT_FOUND) }",
    ] {
        let expected = ["src/api.rs picks a failing status"];
        assert_eq!(touches("src/api.rs", text), expected);
        assert_eq!(touches("src/api/error.rs", text), [""; 0]);
    }
    for harmless in [
        "const TEXT: &str = \"fs\"; // fs",
        "#[cfg(test)] mod tests { use std::fs; fn f() { StatusCode::NOT_FOUND } }",
        "fn f() { StatusCode::OK; StatusCode::from_u16(404) }",
    ] {
        assert_eq!(touches("src/api.rs", harmless), [""; 0], "{harmless}");
    }
}

#[test]
fn long_files_and_empty_names_are_refused() {
    let wrong = |path: &str, text: &str| {
        let files = [(path, text), ("src/lib.rs", "//! Rooms.\npub mod api;")];
        lengths_and_names(&sources(&files), &code(&files))
    };
    let lines = |count: usize| "//! Line.\n".repeat(count);
    let tests =
        |count: usize| "\n#[cfg(test)]\nmod tests {\n".to_owned() + &"\n".repeat(count) + "}";
    assert_eq!(wrong("src/api.rs", &lines(400)), [""; 0]);
    assert_eq!(
        wrong("src/api.rs", &lines(401)),
        ["src/api.rs: 401 of 401 lines"]
    );
    assert_eq!(wrong("src/api.rs", &(lines(396) + &tests(200))), [""; 0]);
    let long = wrong("src/api.rs", &(lines(396) + &tests(201)));
    assert_eq!(long, ["src/api.rs: 396 of 601 lines"]);
    let nameless = "src/api/util.rs: no first line, or no name";
    assert_eq!(wrong("src/api/util.rs", &lines(1)), [nameless]);
    let undescribed = "src/api/blob.rs: no first line, or no name";
    assert_eq!(wrong("src/api/blob.rs", "fn f() {}"), [undescribed]);
}
