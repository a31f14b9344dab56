//! Planted secrets, and the search for them in whatever the mirror says, keeps or hands on.

use std::{fs, path::Path};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE},
};
use regex::bytes::Regex;

/// Shorter ones might be found by chance.
const LENGTH_MIN: usize = 12;

/// Where nothing may be found.
#[derive(Default)]
pub(crate) struct Places(Vec<(String, Vec<u8>)>);

impl Places {
    pub(crate) fn add(&mut self, name: &str, bytes: impl Into<Vec<u8>>) {
        self.0.push((name.to_owned(), bytes.into()));
    }

    pub(crate) fn add_file(&mut self, file: &Path) {
        self.add(&file.display().to_string(), fs::read(file).unwrap());
    }

    /// Every file below a folder, with its path.
    pub(crate) fn add_folder(&mut self, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            self.add(
                &format!("the name of {}", path.display()),
                path.as_os_str().as_encoded_bytes(),
            );
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                self.add_folder(&path);
            } else if kind.is_file() {
                self.add_file(&path);
            }
        }
    }

    /// What was found, and where.
    pub(crate) fn search(&self, secrets: &[(&str, String)]) -> Vec<String> {
        let mut found = Vec::new();
        for (name, secret) in secrets {
            let pattern = pattern(secret);
            for (place, bytes) in &self.0 {
                if let Some(hit) = pattern.find(bytes) {
                    let line = line_around(bytes, hit.start());
                    found.push(format!("{name} in {place}: {line}"));
                }
            }
        }
        found
    }
}

/// The secret as it is, in hexadecimal, and as a part of anything in base64.
fn pattern(secret: &str) -> Regex {
    assert!(
        secret.len() >= LENGTH_MIN,
        "{secret} may be found by chance"
    );
    let mut forms = vec![secret.to_owned(), hexadecimal(secret)];
    // How many bytes may stand before it in a group of three, and in how many letters those take part.
    for (before, touched) in [(0, 0), (1, 2), (2, 3)] {
        let shifted = "_".repeat(before) + secret;
        for alphabet in [BASE64_STANDARD, BASE64_URL_SAFE] {
            let text = alphabet.encode(&shifted);
            let inner = text.trim_end_matches('=');
            let own = inner.get(touched..inner.len() - 2).unwrap();
            forms.push(own.to_owned());
        }
    }
    let forms: Vec<String> = forms.iter().map(|form| regex::escape(form)).collect();
    Regex::new(&format!("(?i-u:{})", forms.join("|"))).unwrap()
}

fn hexadecimal(text: &str) -> String {
    let digits = text.bytes().map(|byte| format!("{byte:02x}"));
    digits.collect::<Vec<_>>().concat()
}

fn line_around(bytes: &[u8], at: usize) -> String {
    let start = bytes[..at]
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |end| end + 1);
    let length = bytes[start..].iter().position(|&byte| byte == b'\n');
    let end = length.map_or(bytes.len(), |length| start + length);
    String::from_utf8_lossy(&bytes[start..end])
        .chars()
        .take(2000)
        .collect()
}

/// The search itself: where this fails, a clean house proves nothing.
#[test]
fn a_secret_is_found_in_every_form() {
    let secret = "Canary-of-the-search".to_owned();
    for text in [
        format!("password={secret};"),
        BASE64_STANDARD.encode(format!("robot:{secret}")),
        BASE64_STANDARD.encode(format!("robot1:{secret}/")),
        BASE64_URL_SAFE.encode(format!("robot10:{secret}??")),
        hexadecimal(&secret),
    ] {
        let mut places = Places::default();
        places.add("here", text.clone());
        let found = places.search(&[("it", secret.clone())]);
        assert_eq!(found.len(), 1, "{secret} in {text}");
    }
}
