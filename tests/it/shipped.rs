//! The shipped configurations are valid, with the files that they name.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use fake_registry::certificates::Authority;

/// The folder in which the examples' files stand.
const SITE: &str = "/etc/roadstead";

/// Only the owner may read a secret.
const SECRET_MODE: u32 = 0o600;

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    let entries = fs::read_dir(folder).unwrap();
    let mut examples: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    examples.sort();
    examples
}

/// Everything that an example names.
fn write_site(folder: &Path) {
    let authority = Authority::new("site CA");
    let own = authority.server(&["mirror.example.org"]);
    for inner in ["docker", "import"] {
        fs::create_dir(folder.join(inner)).unwrap();
    }
    let logins = r#"{"auths": {"registry.example.org": {"auth": "bWlycm9yOng="}}}"#;
    let calico =
        "apiVersion: operator.tigera.io/v1\nkind: Installation\nspec: {registry: site.corp}\n";
    let files = [
        ("import/calico.yaml", calico, false),
        ("ca.crt", authority.pem.as_str(), false),
        ("tls.crt", own.certificate.as_str(), false),
        ("tls.key", own.key.as_str(), true),
        ("docker/config.json", logins, true),
    ];
    for (name, content, is_secret) in files {
        let path = folder.join(name);
        fs::write(&path, content).unwrap();
        if is_secret {
            fs::set_permissions(&path, fs::Permissions::from_mode(SECRET_MODE)).unwrap();
        }
    }
}

#[test]
fn every_example_holds() {
    let folder = tempfile::tempdir().unwrap();
    write_site(folder.path());
    let examples = examples();
    assert!(examples.len() > 5, "{examples:?}");
    for example in examples {
        let text = fs::read_to_string(&example).unwrap();
        let file = folder.path().join("roadstead.toml");
        let place = folder.path().display().to_string();
        fs::write(&file, text.replace(SITE, &place)).unwrap();
        let mut check = Command::new(env!("CARGO_BIN_EXE_roadstead"));
        let output = check.args(["check", "--config"]).arg(&file).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{example:?}: {said}");
    }
}
