//! Diagnostics about a file: their codes, and one line for each.

use std::fmt;

use super::location::Location;
use crate::route::InvalidRule;

/// Longest excerpt of a file in a diagnostic, in characters.
const EXCERPT_CHARS_MAX: usize = 60;

/// How serious a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is imported.
    Error,
    /// The import goes ahead, but may not be what was meant.
    Warning,
    /// For information.
    Note,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        /// What a diagnostic is about; the letter before the dash is its default severity.
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
    /// Invalid YAML.
    Yaml = "E-YAML",
    /// Invalid TOML.
    Toml = "E-TOML",
    /// Invalid JSON.
    Json = "E-JSON",
    /// Not text, too long, or empty.
    File = "E-FILE",
    /// Not a document of the format.
    Kind = "E-KIND",
    /// A value of the wrong type, or a missing one.
    Value = "E-VALUE",
    /// A line of a map without `::`.
    Separator = "E-SEP",
    /// A scheme where the format has none, or none where it needs one.
    Scheme = "E-SCHEME",
    /// Invalid image reference, or part of one.
    Reference = "E-REF",
    /// A regular expression that does not compile.
    Regex = "E-REGEX",
    /// A glob that does not compile.
    Glob = "E-GLOB",
    /// A key for `library/` without one for its registry.
    LibraryKey = "E-LIBKEY",
    /// A key that its own program never looks up.
    DeadKey = "E-DEADKEY",
    /// Two things match equally and differ.
    Duplicate = "E-DUP",
    /// A target is the mirror itself.
    Loop = "E-LOOP",
    /// Different credentials for one scope.
    CredentialAmbiguous = "E-CREDAMBIG",
    /// An invalid certificate.
    Authority = "E-CA",
    /// A Secret is named, but is not among the files.
    SecretReference = "E-SECRETREF",
    /// An `auth` that is not the base64 of USER:PASSWORD.
    AuthBase64 = "E-AUTHB64",
    /// Invalid digest.
    Digest = "E-DIGEST",
    /// A placeholder of a template.
    Placeholder = "E-PLACEHOLDER",
    /// An imageswap map without `default`.
    NoDefault = "W-NODEFAULT",
    /// A Palette target in the runtime's dialect.
    Dialect = "W-DIALECT",
    /// A Palette target at a host that the credentials are not for.
    CredentialScope = "W-CREDSCOPE",
    /// A Palette target outside the base path.
    BasePath = "W-BASEPATH",
    /// A key in a place that its program does not read, or no longer reads.
    Misplaced = "W-MISPLACED",
    /// Two sources become one repository.
    Collide = "W-COLLIDE",
    /// A longer source hides a shorter one's mirrors.
    Shadow = "W-SHADOW",
    /// A target of one element on Docker Hub.
    HubRoot = "W-HUBROOT",
    /// A slash too many in a target.
    Slash = "W-SLASH",
    /// A key that matches only in a comparison of strings.
    StringPrefix = "W-STRINGPREFIX",
    /// A default with a dash at its end.
    DashDefault = "W-DASHDEFAULT",
    /// Two comment marks in one line.
    MultiHash = "W-MULTIHASH",
    /// Every requested name is fetched, from any registry.
    Open = "W-OPEN",
    /// Something that cannot be expressed, or is not read.
    Ignored = "W-IGNORED",
    /// The route is wider than the original.
    LibraryWider = "I-LIBWIDER",
    /// A default was assumed for a value that the file omits.
    Assumed = "I-ASSUMED",
    /// Something that is not about images was skipped.
    Skipped = "I-SKIPPED",
}

/// One diagnostic, printed as one line: `FILE:LINE:COLUMN: CODE: message`.
///
/// Never contains a secret: messages and excerpts have keys and addresses only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How serious it is.
    pub level: Severity,
    /// What it is about.
    pub code: DiagnosticCode,
    /// Where.
    pub location: Location,
    /// What.
    pub message: String,
    /// The text at the location, shortened.
    pub excerpt: Option<String>,
    /// Advice.
    pub fix: Option<String>,
}

impl Diagnostic {
    /// With the default severity of the code.
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

    /// From an error of the route grammar.
    pub(in crate::platform) fn of_rule(
        code: DiagnosticCode,
        location: &Location,
        invalid: &InvalidRule,
    ) -> Self {
        let diagnostic = Self::new(code, location, &invalid.reason);
        match &invalid.hint {
            Some(hint) => diagnostic.fix(hint),
            None => diagnostic,
        }
    }

    pub(in crate::platform) fn level(self, level: Severity) -> Self {
        Self { level, ..self }
    }

    /// Adds the text at the location; never for a secret. Credentials in an address are masked.
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

/// Cuts a text at its first PEM block: a private key may be in any value.
fn mask_pem(text: &str) -> String {
    match text.split_once("-----BEGIN ") {
        Some((before, _)) => format!("{before}…"),
        None => text.to_owned(),
    }
}

/// Masks PEM blocks and credentials in addresses within a sentence.
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
            Some((before, credentials)) if has_host && credentials.contains(':') => {
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

/// Masks the credentials of an address, `[SCHEME://]USER[:PASSWORD]@HOST`, but not the digest of an
/// image reference.
pub(in crate::platform) fn mask_credentials(text: &str) -> String {
    let (whole, digest) = match text.rsplit_once('@') {
        Some((whole, after)) if after.starts_with("sha") && after.contains(':') => {
            (whole, format!("@{after}"))
        }
        _ => (text, String::new()),
    };
    let Some((credentials, host)) = whole.rsplit_once('@') else {
        return text.to_owned();
    };
    let is_scheme = |text: &&str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let scheme = credentials.split_once("://").map(|(scheme, _)| scheme);
    let scheme = scheme
        .filter(is_scheme)
        .map(|scheme| format!("{scheme}://"));
    format!("{}…@{host}{digest}", scheme.unwrap_or_default())
}

/// Escapes control characters: file names may contain terminal sequences.
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
        // Only the spelling of a target is corrected.
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
