//! Problems of a configuration, as text and as JSON.

use std::{error::Error, fmt};

use serde::Serialize;

use crate::platform::{self, DiagnosticCode};

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigProblem {
    /// The key's whole path, such as `route[2].to[0]`; empty for invalid TOML.
    pub key: String,
    /// The value, shortened, without passwords.
    pub value: Option<String>,
    /// The line, counted from 1.
    pub line: Option<usize>,
    /// The character in the line, counted from 1.
    pub column: Option<usize>,
    /// The location in an imported file that the key names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imported: Option<ImportedLocation>,
    /// What is wrong.
    pub reason: String,
    /// How to correct it.
    pub hint: Option<String>,
}

/// A location in an imported file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImportedLocation {
    /// The file.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The character in the line, counted from 1.
    pub column: usize,
    /// The kind of problem, such as `E-REF`.
    pub code: Option<&'static str>,
}

/// All problems of one file, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblems {
    /// The file's name, as it was given.
    pub file: String,
    /// At least one.
    pub problems: Vec<ConfigProblem>,
}

/// Why a value is refused; the caller adds its location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ValueError {
    pub(super) reason: String,
    pub(super) hint: Option<String>,
    /// Its code if the value is in an imported file.
    pub(super) code: Option<DiagnosticCode>,
}

impl ConfigProblems {
    /// One JSON object per line, each with the file's name.
    pub fn json_lines(&self) -> String {
        #[derive(Serialize)]
        struct ProblemLine<'a> {
            file: &'a str,
            #[serde(flatten)]
            problem: &'a ConfigProblem,
        }
        let line = |problem| {
            let file = &self.file;
            serde_json::to_string(&ProblemLine { file, problem }).map(|json| json + "\n")
        };
        self.problems.iter().flat_map(line).collect()
    }
}

impl ValueError {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            hint: None,
            code: None,
        }
    }

    pub(super) fn code(self, code: DiagnosticCode) -> Self {
        let code = Some(code);
        Self { code, ..self }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

impl ImportedLocation {
    pub(super) fn new(location: &platform::Location, code: Option<DiagnosticCode>) -> Self {
        Self {
            file: location.file.to_string(),
            line: location.line,
            column: location.column,
            code: code.map(DiagnosticCode::as_str),
        }
    }
}

impl fmt::Display for ImportedLocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file, line, column, ..
        } = self;
        write!(formatter, "{}:{line}:{column}: ", platform::printable(file))?;
        match self.code {
            Some(code) => write!(formatter, "{code}: "),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = self.column.filter(|_| self.key.is_empty());
        formatter.write_str("  ")?;
        if let Some(line) = self.line {
            write!(formatter, "line {line}")?;
        }
        if let Some(column) = column {
            write!(formatter, ", column {column}")?;
        }
        if self.line.is_some() && !self.key.is_empty() {
            formatter.write_str(": ")?;
        }
        formatter.write_str(&self.key)?;
        if let Some(value) = &self.value {
            write!(formatter, " = {value}")?;
        }
        write!(formatter, "\n    {}", self.reason)?;
        match &self.hint {
            Some(hint) => write!(formatter, "\n    {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ConfigProblems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        let noun = if count == 1 { "problem" } else { "problems" };
        writeln!(formatter, "{}: {count} {noun}", self.file)?;
        for problem in &self.problems {
            write!(formatter, "\n{problem}\n")?;
        }
        Ok(())
    }
}

impl Error for ConfigProblems {}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> ConfigProblems {
        let problem = ConfigProblem {
            key: "store.size_max".to_owned(),
            value: Some("\"10G\"".to_owned()),
            line: Some(7),
            column: Some(12),
            imported: None,
            reason: "not a size".to_owned(),
            hint: Some("did you mean \"10GB\" or \"10GiB\"?".to_owned()),
        };
        ConfigProblems {
            file: "roadstead.toml".to_owned(),
            problems: vec![problem],
        }
    }

    #[test]
    fn reads_well() {
        let expected = "roadstead.toml: 1 problem\n\n  line 7: store.size_max = \"10G\"\n    \
                        not a size\n    did you mean \"10GB\" or \"10GiB\"?\n";
        assert_eq!(example().to_string(), expected);
    }

    #[test]
    fn is_one_json_object_per_line() {
        let lines = example().json_lines();
        let json: serde_json::Value = serde_json::from_str(lines.trim_end()).unwrap();
        assert_eq!(lines.lines().count(), 1);
        assert_eq!(json["file"], "roadstead.toml");
        assert_eq!(json["key"], "store.size_max");
        assert_eq!(json["line"], 7);
    }
}
