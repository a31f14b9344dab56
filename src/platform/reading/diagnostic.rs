//! What is to be said about a file: the codes, and one line each.

use std::fmt;

use super::location::Location;
use crate::route::InvalidRule;

/// Longest part of a file that a remark repeats, in characters.
const EXCERPT_CHARS_MAX: usize = 60;

/// What kind of thing is to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is imported.
    Error,
    /// It is imported, but perhaps not what was meant.
    Warning,
    /// Worth knowing.
    Note,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        /// What a remark is about; the letter before the dash is its usual level.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum DiagnosticCode {
            $($(#[$doc])* $name,)+
        }

        impl DiagnosticCode {
            /// As it is printed.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

codes! {
    /// No YAML.
    Yaml = "E-YAML",
    /// No TOML.
    Toml = "E-TOML",
    /// No JSON.
    Json = "E-JSON",
    /// No text, too long, or nothing in it.
    File = "E-FILE",
    /// Nothing that this format knows.
    Kind = "E-KIND",
    /// A value of the wrong kind, or a missing one.
    Value = "E-VALUE",
    /// A line of a map without `::`.
    Separator = "E-SEP",
    /// A scheme where the format has none, or none where it needs one.
    Scheme = "E-SCHEME",
    /// No image reference, or a part of one.
    Reference = "E-REF",
    /// A regular expression that does not compile.
    Regex = "E-REGEX",
    /// A glob that does not compile.
    Glob = "E-GLOB",
    /// A key for `library/` without the registry's own.
    LibraryKey = "E-LIBKEY",
    /// A key that its own program never looks up.
    DeadKey = "E-DEADKEY",
    /// Two things match equally and differ.
    Duplicate = "E-DUP",
    /// A target is the mirror itself.
    Loop = "E-LOOP",
    /// Two logins for one place.
    CredentialAmbiguous = "E-CREDAMBIG",
    /// A certificate that cannot be read.
    Authority = "E-CA",
    /// A Secret is named and not given.
    SecretReference = "E-SECRETREF",
    /// An `auth` that is no base64 of USER:PASSWORD.
    AuthBase64 = "E-AUTHB64",
    /// No digest.
    Digest = "E-DIGEST",
    /// A placeholder of a document.
    Placeholder = "E-PLACEHOLDER",
    /// An imageswap map without `default`.
    NoDefault = "W-NODEFAULT",
    /// A Palette target in the runtime's dialect.
    Dialect = "W-DIALECT",
    /// A Palette target at a host that the login is not for.
    CredentialScope = "W-CREDSCOPE",
    /// A Palette target outside the base path.
    BasePath = "W-BASEPATH",
    /// A key that stands where its program does not look, or no longer.
    Misplaced = "W-MISPLACED",
    /// Two sources become one repository.
    Collide = "W-COLLIDE",
    /// A longer source hides a shorter one's mirrors.
    Shadow = "W-SHADOW",
    /// A target of one element on Docker Hub.
    HubRoot = "W-HUBROOT",
    /// A slash too many in a target.
    Slash = "W-SLASH",
    /// A key that matches by a quirk only.
    StringPrefix = "W-STRINGPREFIX",
    /// A default with a dash at its end.
    DashDefault = "W-DASHDEFAULT",
    /// Two comment marks in one line.
    MultiHash = "W-MULTIHASH",
    /// Whatever is asked for is fetched from anywhere.
    Open = "W-OPEN",
    /// Something that cannot be expressed, or is not read.
    Ignored = "W-IGNORED",
    /// The route is wider than the original.
    LibraryWider = "I-LIBWIDER",
    /// Something the file leaves open was taken to be as usual.
    Assumed = "I-ASSUMED",
    /// Something was skipped that says nothing about images.
    Skipped = "I-SKIPPED",
}

/// One thing to be said, in one line: `FILE:LINE:COLUMN: CODE: message`.
///
/// Never holds a secret: whoever makes one shows keys and addresses only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub level: Severity,
    /// What it is about.
    pub code: DiagnosticCode,
    /// Where.
    pub location: Location,
    /// What.
    pub message: String,
    /// What stands there, shortened.
    pub excerpt: Option<String>,
    /// What to do.
    pub fix: Option<String>,
}

impl Diagnostic {
    /// At the usual level of the code.
    pub(in crate::platform) fn new(
        code: DiagnosticCode,
        location: &Location,
        message: impl Into<String>,
    ) -> Self {
        Self {
            level: code.level(),
            code,
            location: location.clone(),
            message: mask_secrets(&message.into()),
            excerpt: None,
            fix: None,
        }
    }

    /// What the grammar of routes says is wrong.
    pub(in crate::platform) fn of_rule(
        code: DiagnosticCode,
        location: &Location,
        flaw: &InvalidRule,
    ) -> Self {
        let diagnostic = Self::new(code, location, &flaw.reason);
        match &flaw.hint {
            Some(hint) => diagnostic.fix(hint),
            None => diagnostic,
        }
    }

    pub(in crate::platform) fn level(self, level: Severity) -> Self {
        Self { level, ..self }
    }

    /// Repeats what stands there; never for a secret. A login in an address is left out.
    pub(in crate::platform) fn excerpt(self, text: &str) -> Self {
        let text = mask_credentials(&mask_pem(text));
        let mut shown: String = text.chars().take(EXCERPT_CHARS_MAX).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        let shown = Some(shown);
        Self {
            excerpt: shown,
            ..self
        }
    }

    pub(in crate::platform) fn fix(self, fix: impl Into<String>) -> Self {
        let fix = Some(mask_secrets(&fix.into()));
        Self { fix, ..self }
    }
}

/// A text without keys as PEM has them, wherever their owner has put them.
fn mask_pem(text: &str) -> String {
    match text.split_once("-----BEGIN ") {
        Some((before, _)) => format!("{before}…"),
        None => text.to_owned(),
    }
}

/// A sentence without keys, and without the logins of the addresses in it.
fn mask_secrets(text: &str) -> String {
    let text = mask_pem(text);
    let ends = [' ', '"', '\'', '/', ','];
    let mut parts = text.split('@').peekable();
    let mut harmless = String::new();
    while let Some(part) = parts.next() {
        // A tag and a digest look alike.
        let has_host = parts.peek().is_some_and(|next| !next.starts_with("sha"));
        let start = part.rfind(ends).map_or(0, |at| at + 1);
        match part.split_at_checked(start) {
            Some((before, login)) if has_host && login.contains(':') => {
                harmless.extend([before, "…"]);
            }
            _ => harmless.push_str(part),
        }
        if parts.peek().is_some() {
            harmless.push('@');
        }
    }
    harmless
}

/// The text without the login of an address, `[SCHEME://]USER[:PASSWORD]@HOST`; a digest behind an
/// image's name is none.
pub(in crate::platform) fn mask_credentials(text: &str) -> String {
    let (whole, digest) = match text.rsplit_once('@') {
        Some((whole, after)) if after.starts_with("sha") && after.contains(':') => {
            (whole, format!("@{after}"))
        }
        _ => (text, String::new()),
    };
    let Some((login, host)) = whole.rsplit_once('@') else {
        return text.to_owned();
    };
    let is_scheme = |text: &&str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let scheme = login.split_once("://").map(|(scheme, _)| scheme);
    let scheme = scheme
        .filter(is_scheme)
        .map(|scheme| format!("{scheme}://"));
    format!("{}…@{host}{digest}", scheme.unwrap_or_default())
}

/// The text in one line that only shows and never acts, whatever names of files hold.
pub fn printable(text: &str) -> String {
    let mut line = String::new();
    for letter in text.chars() {
        if letter.is_control() {
            line.extend(letter.escape_default());
        } else {
            line.push(letter);
        }
    }
    line
}

impl DiagnosticCode {
    fn level(self) -> Severity {
        // A target's spelling is put right, and that is all.
        if matches!(self, Self::Dialect | Self::Slash) {
            return Severity::Note;
        }
        match self.as_str().split('-').next() {
            Some("E") => Severity::Error,
            Some("W") => Severity::Warning,
            _ => Severity::Note,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            location,
            code,
            message,
            excerpt: shown,
            fix,
            ..
        } = self;
        let mut line = format!("{location}: {}: {message}", code.as_str());
        if let Some(shown) = shown {
            line.extend([": ", &format!("{shown:?}")]);
        }
        if let Some(fix) = fix {
            line.extend(["; ", fix]);
        }
        formatter.write_str(&printable(&line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_login_is_shown_in_any_form_of_address() {
        for (text, want) in [
            ("user:pw@host/x", "…@host/x"),
            ("user:p/w@host/x", "…@host/x"),
            ("user:p@w@host", "…@host"),
            ("//user:pw@host", "…@host"),
            ("token@host/x", "…@host/x"),
            ("https://user:pw@host/x", "https://…@host/x"),
            ("HTTP://user:p/w@host", "HTTP://…@host"),
            ("docker.io/library::user:pw@host//x", "…@host//x"),
            ("a b:c://user:pw@host", "…@host"),
            ("user:pw@host/x@sha256:0", "…@host/x@sha256:0"),
            ("docker.io/a/b:1@sha256:0", "docker.io/a/b:1@sha256:0"),
            ("nginx:1@SHA256", "…@SHA256"),
            ("plain", "plain"),
        ] {
            assert_eq!(mask_credentials(text), want, "{text}");
        }
    }

    #[test]
    fn no_secret_in_a_wrong_place_is_repeated() {
        let key = "-----BEGIN PRIVATE KEY-----\ncanary";
        for (text, want) in [
            ("write user:canary@host/x", "write …@host/x"),
            ("auths.\"user:canary@host\": none", "auths.\"…@host\": none"),
            ("a/b:1@sha256:0 and c:1@h", "a/b:1@sha256:0 and …@h"),
            (
                "write to me@host: it is told",
                "write to me@host: it is told",
            ),
            (key, "…"),
        ] {
            let diagnostic =
                Diagnostic::new(DiagnosticCode::Value, &Location::start("f"), text).fix(text);
            assert_eq!(
                (&*diagnostic.message, diagnostic.fix.as_deref()),
                (want, Some(want))
            );
        }
        let shown = Diagnostic::new(DiagnosticCode::Value, &Location::start("f"), "").excerpt(key);
        assert_eq!(shown.excerpt.as_deref(), Some("…"));
    }

    #[test]
    fn a_line_holds_no_character_that_moves_a_terminal() {
        let location = Location::start("odd\n\u{1b}[31m");
        let diagnostic =
            Diagnostic::new(DiagnosticCode::Value, &location, "a\u{9b}b").excerpt("\u{7}");
        let line = diagnostic.to_string();
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}
