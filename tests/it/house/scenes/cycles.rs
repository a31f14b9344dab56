//! Import cycles that are found, and paths that make none.

use super::{
    super::{cycles::cycles, imports::unresolved},
    code,
};

const DOOR: (&str, &str) = ("src/store.rs", "mod blob; mod prove;");
const PROVE: (&str, &str) = (
    "src/store/prove.rs",
    "use super::blob::BlobFile; pub struct Rehash(BlobFile); pub fn rehash() {}",
);
const CHAIN: &str = "store/blob.rs -> store/prove.rs (Rehash) -> store/blob.rs (BlobFile)";
const CHAIN_OF_FN: &str = "store/blob.rs -> store/prove.rs (rehash) -> store/blob.rs (BlobFile)";

/// The cycles where `blob.rs` has this text and `prove.rs` takes an item of it.
fn cycles_with(blob: &str) -> Vec<String> {
    let blob = format!("pub struct BlobFile; {blob}");
    cycles(&code(&[("src/store/blob.rs", &blob), PROVE, DOOR]))
}

#[test]
fn imports_make_a_cycle_in_every_form() {
    for import in [
        "use super::prove::Rehash;",
        "use crate::store::prove::Rehash;",
        "use crate::{store::{prove::{Rehash as Again}}};",
        "use super::prove; fn f(_: prove::Rehash) {}",
        "use super::prove::{self as other}; fn f(_: other::Rehash) {}",
        "use super::prove::*; fn f(_: Rehash) {}",
        "use super::prove::Rehash as _;",
        "mod inner { use super::super::prove::Rehash; }",
        "fn f() { use super::prove::Rehash; }",
    ] {
        assert_eq!(cycles_with(import), [CHAIN], "{import}");
    }
}

#[test]
fn a_path_without_an_import_makes_a_cycle() {
    for body in [
        "fn f() { super::prove::rehash(); }",
        "fn f() { crate::store::prove::rehash(); }",
        "fn f() { self::g::<u8>(super::prove::rehash) } fn g<T>(_: fn()) {}",
        "fn f() { tracing::info!(at = 1, \"{}\", super::prove::rehash()); }",
        "use super::prove; fn f() { struct Own; { const OWN: u8 = 1; prove::rehash() } }",
        "async fn f() { tokio::select! { () = wait() => { super::prove::rehash(); } } }",
        "fn f() { use super::prove; debug!({ prove::rehash() }); }",
        "macro_rules! again { () => { $crate::store::prove::rehash() } }",
        "struct A { #[arg(value_parser = super::prove::rehash())] b: u8 }",
    ] {
        assert_eq!(cycles_with(body), [CHAIN_OF_FN], "{body}");
    }
    for body in [
        "impl Drop for super::prove::Rehash {}",
        "fn f<T: Into<super::prove::Rehash>>() {}",
        "fn f() { match x { super::prove::Rehash(_) => {} } }",
        "fn f() { <u8 as From<super::prove::Rehash>>::from(1); }",
        "fn f() { super::prove::Rehash::begin(); }",
    ] {
        assert_eq!(cycles_with(body), [CHAIN], "{body}");
    }
}

#[test]
fn a_re_export_leads_to_the_file_that_defines_the_item() {
    let blob = (
        "src/store/blob.rs",
        "use super::Again; pub struct BlobFile;",
    );
    let prove = (
        "src/store/prove.rs",
        "use crate::disk::File; pub struct Rehash(File);",
    );
    let door = (
        "src/store.rs",
        "mod blob; mod prove; pub use prove::Rehash as Again; pub(crate) use self::blob::*;",
    );
    let disk = ("src/disk.rs", "pub use crate::store::BlobFile as File;");
    assert_eq!(cycles(&code(&[blob, prove, door, disk])), [CHAIN]);
}

#[test]
fn a_parent_and_its_child_make_a_cycle() {
    let child = ("src/store/blob.rs", "pub struct BlobFile(super::Settings);");
    let parent = "mod blob; use blob::BlobFile; pub struct Settings;";
    let chain = "store/blob.rs -> store.rs (Settings) -> store/blob.rs (BlobFile)";
    assert_eq!(cycles(&code(&[child, ("src/store.rs", parent)])), [chain]);
    // A door that uses what it shows depends on it.
    let parent = "mod blob; pub use blob::BlobFile; pub struct Settings { first: BlobFile }";
    assert_eq!(cycles(&code(&[child, ("src/store.rs", parent)])), [chain]);
}

#[test]
fn a_module_and_a_function_may_share_a_name() {
    let child = (
        "src/store/open.rs",
        "use super::Settings; pub fn open(_: Settings) {} pub fn again() {}",
    );
    for parent in [
        "mod open; use open::open; pub struct Settings;",
        "mod open; pub use open::open; pub struct Settings; fn f() { open(Settings) }",
    ] {
        let files = [child, ("src/store.rs", parent)];
        let chain = "store/open.rs -> store.rs (Settings) -> store/open.rs (open)";
        assert_eq!(cycles(&code(&files)), [chain], "{parent}");
    }
    let files = [
        (
            "src/store/blob.rs",
            "use super::open; pub struct BlobFile; fn f() { open::again() }",
        ),
        (
            "src/store/open.rs",
            "use super::blob::BlobFile; pub fn open(_: BlobFile) {} pub fn again() {}",
        ),
        ("src/store.rs", "mod blob; mod open; pub use open::open;"),
    ];
    let chain = "store/blob.rs -> store/open.rs (again) -> store/blob.rs (BlobFile)";
    assert_eq!(cycles(&code(&files)), [chain]);
    // Doors that show all of each other end as well.
    let parent = "mod open; pub use open::*; pub use self::*; pub struct Settings;
        fn f() { open::again(none) }";
    let chain = "store/open.rs -> store.rs (Settings) -> store/open.rs (again)";
    assert_eq!(cycles(&code(&[child, ("src/store.rs", parent)])), [chain]);
}

#[test]
fn a_path_that_leads_nowhere_is_refused() {
    let blob = "use super::prove::Rehash; fn f() { crate::store::gone(); std::mem::drop(1); }";
    let files = [("src/store/blob.rs", blob), PROVE, DOOR];
    let expected = [
        "src/store/blob.rs: crate::store::gone",
        "src/store/prove.rs: super::blob::BlobFile",
    ];
    assert_eq!(unresolved(&code(&files)), expected);
}

#[test]
fn a_type_that_a_macro_defines_is_in_the_macros_file() {
    let text = "macro_rules! codes { ($($name:ident)+) => { pub enum Code { $($name,)+ } } }
        codes! { Yaml } use super::blob::BlobFile;";
    let blob = "pub struct BlobFile; fn f(_: super::prove::Code) {}";
    let files = [
        ("src/store/blob.rs", blob),
        ("src/store/prove.rs", text),
        DOOR,
    ];
    let chain = "store/blob.rs -> store/prove.rs (Code) -> store/blob.rs (BlobFile)";
    assert_eq!(cycles(&code(&files)), [chain]);
}

#[test]
fn every_file_of_a_component_is_printed_with_all_items() {
    let files = [
        ("src/pull/a.rs", "use super::b::{B, b}; pub struct A;"),
        (
            "src/pull/b.rs",
            "use super::c::C; pub struct B; pub fn b() {}",
        ),
        ("src/pull/c.rs", "use super::{a::A, d::D}; pub struct C;"),
        ("src/pull/d.rs", "use super::c::C; pub struct D;"),
        ("src/pull/e.rs", "use super::d::D;"),
        ("src/pull.rs", "mod a; mod b; mod c; mod d; mod e;"),
    ];
    let chains = [
        "pull/a.rs -> pull/b.rs (B, b) -> pull/c.rs (C) -> pull/a.rs (A)",
        "pull/d.rs -> pull/c.rs (C) -> pull/d.rs (D)",
    ];
    assert_eq!(cycles(&code(&files)), chains);
}

#[test]
fn what_only_tests_import_makes_no_cycle() {
    for tests in [
        "#[cfg(test)] mod tests { use super::super::prove::Rehash; }",
        "#[cfg(test)] use super::prove::Rehash;",
        "#[cfg(all(test, unix))] fn f() { super::prove::rehash() }",
        "impl BlobFile { #[cfg(test)] fn f() { super::prove::rehash() } }",
    ] {
        assert_eq!(cycles_with(tests), [""; 0], "{tests}");
    }
    let files = [
        (
            "src/store/blob/scenes/deep.rs",
            "use crate::store::prove::Rehash;",
        ),
        (
            "src/store/blob/scenes.rs",
            "mod deep; use super::super::prove::*;",
        ),
        (
            "src/store/blob.rs",
            "pub struct BlobFile; #[cfg(test)] mod scenes;",
        ),
        PROVE,
        DOOR,
    ];
    assert_eq!(cycles(&code(&files)), [""; 0]);
    assert_eq!(
        cycles_with("#[cfg(not(test))] use super::prove::Rehash;"),
        [CHAIN]
    );
}

#[test]
fn a_door_that_shows_its_childrens_items_makes_no_cycle() {
    let child = (
        "src/store/blob.rs",
        "use super::Settings; pub struct BlobFile; pub fn open() {}",
    );
    for uses in [
        "pub use blob::{BlobFile, open};",
        "pub(crate) use self::blob::*;",
        "pub use blob::open; fn f(open: u8) -> u8 { open + 1 }",
        "pub use blob::open; macro_rules! call { ($open:expr) => { f($open) } }",
        "pub use blob::open; use ::blob::BlobFile; fn f() { ::blob::open() }",
        "pub use blob::open; fn f(file: File) { file.open(); info!(open = file.open()); }",
        "pub(in crate::store) use blob::BlobFile;",
        "use blob as _;",
    ] {
        let parent = format!("mod blob; pub struct Settings; {uses}");
        let files = [child, ("src/store.rs", &parent)];
        assert_eq!(cycles(&code(&files)), [""; 0], "{uses}");
    }
}

#[test]
fn what_only_looks_like_a_path_makes_no_cycle() {
    for harmless in [
        "// use super::prove::Rehash;",
        "/// See [`super::prove::Rehash`].\nfn f() {}",
        "const TEXT: &str = \"super::prove::Rehash\";",
        "use ::prove::Rehash;",
        "use prove::Rehash;",
        "fn f() { struct Rehash; let _ = Rehash; }",
        "pub use super::prove::Rehash;",
        "use super::prove::*; struct Rehash; fn f(_: Rehash) {}",
        "use super::prove;",
    ] {
        assert_eq!(cycles_with(harmless), [""; 0], "{harmless}");
    }
}
