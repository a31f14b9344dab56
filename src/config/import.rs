//! `[[import]]`: other programs' files as part of the configuration.

use std::path::{Path, PathBuf};

use super::{
    load_context::{FileSensitivity, LoadContext},
    problem::ValueError,
    reader::Section,
    report::{KeyLocation, ProblemReport},
    self_addresses::SelfAddresses,
    value::ConfigText,
};
use crate::{
    oci::Registry,
    platform::{
        self, ImportOptions, Imported, ImportedCredentials, ImportedUpstream, Input, RegistryAlias,
        Severity, SourceFallback,
    },
    route::{RuleText, UnmatchedPolicy},
    upstream::CredentialSource,
};

/// Most bytes of all files of one import.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// Something imported, and its location.
pub(super) type Located<T> = (T, KeyLocation);

/// The content of all imports, in their order.
#[derive(Debug, Default)]
pub(super) struct Imports {
    pub(super) routes: Vec<Located<RuleText>>,
    pub(super) upstreams: Vec<Located<ImportedUpstream>>,
    pub(super) credentials: Vec<Located<ImportedCredentials>>,
    pub(super) aliases: Vec<Located<RegistryAlias>>,
    unmatched: Option<UnmatchedPolicy>,
}

/// A file, which may hold secrets, and the key that names it.
struct ImportFile {
    path: PathBuf,
    name: String,
    bytes: Vec<u8>,
    is_named: bool,
    location: KeyLocation,
}

/// One table with all its files.
struct ImportTable<'r, 't> {
    report: &'r ProblemReport<'t>,
    location: KeyLocation,
    files: Vec<ImportFile>,
    baseline: Option<ImportFile>,
}

impl Imports {
    /// Reads every table and the files that it names.
    pub(super) fn read(
        root: &mut Section<'_>,
        self_addresses: &SelfAddresses,
        context: &LoadContext<'_>,
    ) -> Self {
        let mut imports = Self::default();
        for section in root.sections("import") {
            imports.one(section, self_addresses, context);
        }
        imports
    }

    /// What happens to names without a route. An import of credentials alone changes nothing.
    pub(super) fn unmatched(&self, written: UnmatchedPolicy) -> UnmatchedPolicy {
        match written {
            UnmatchedPolicy::Auto => self.unmatched.unwrap_or_default(),
            written => written,
        }
    }

    fn one(
        &mut self,
        mut section: Section<'_>,
        self_addresses: &SelfAddresses,
        context: &LoadContext<'_>,
    ) {
        let report = section.report;
        let formats: Vec<_> = platform::import_choices().collect();
        let format = section.choice("format", &formats);
        let files = files(&mut section, context);
        let baseline = section.string_or_unset("baseline_file");
        let baseline =
            baseline.map(|text| ImportFile::read(report, text.text.as_ref(), &text, context));
        let internal_registry = section.parse("internal_registry", |text| match text {
            "" => Ok(None),
            text => match text.parse::<Registry>() {
                Ok(_) => Ok(Some(text.to_owned())),
                Err(invalid) => Err(ValueError::new(invalid.to_string())),
            },
        });
        let fallback = section
            .choice("fallback", &SourceFallback::WORDS)
            .unwrap_or_default();
        let location = section.location.clone();
        let is_misread = section.has("format") && format.is_none();
        section.finish();
        // With a part of its files only, an import could mean something else.
        let (Some(files), false, None | Some(Some(_))) = (files, is_misread, &baseline) else {
            return;
        };
        let table = ImportTable {
            report,
            location,
            files,
            baseline: baseline.flatten(),
        };
        let options = ImportOptions {
            baseline: table.baseline.as_ref().map(ImportFile::input),
            internal_registry: internal_registry.as_ref().and_then(Option::as_deref),
            fallback,
            own: &|registry| self_addresses.contains_registry(registry),
            is_own_guessed: false,
        };
        let inputs: Vec<_> = table.files.iter().map(ImportFile::input).collect();
        let imported = platform::import(format.flatten(), &inputs, &options);
        table.report_diagnostics(&imported);
        if !imported.is_refused() {
            table.check_secret_files(&imported.credentials, context);
            self.add(imported, &table);
        }
    }

    fn add(&mut self, imported: Imported, table: &ImportTable<'_, '_>) {
        for one in imported.routes {
            let location = one.location.0.parse();
            let location = location.map_or_else(
                |_not_located| table.location.clone(),
                |location| table.location(&location),
            );
            self.routes.push((one, location));
        }
        for one in imported.upstreams {
            let location = table.location(&one.location);
            self.upstreams.push((one, location));
        }
        for one in imported.credentials {
            let location = table.location(&one.location);
            self.credentials.push((one, location));
        }
        for one in imported.aliases {
            let location = table.location(&one.location);
            self.aliases.push((one, location));
        }
        // The stricter one of two imports applies.
        if self.unmatched != Some(UnmatchedPolicy::Deny) {
            self.unmatched = imported.unmatched.or(self.unmatched);
        }
    }
}

impl ImportTable<'_, '_> {
    /// The location in a file, with the key that names the file.
    fn location(&self, imported: &platform::Location) -> KeyLocation {
        let mut files = self.files.iter().chain(&self.baseline);
        let file = files.find(|file| *file.name == *imported.file);
        file.map_or(&self.location, |file| &file.location)
            .in_imported(imported)
    }

    /// Reports errors as problems, everything else as notes.
    fn report_diagnostics(&self, imported: &Imported) {
        let (reported, [errors, others]) = imported.reported();
        for diagnostic in reported {
            if diagnostic.level == Severity::Error {
                self.report
                    .imported(&self.location(&diagnostic.location), diagnostic);
            } else {
                self.report.note(diagnostic.to_string());
            }
        }
        if errors > 0 {
            let more = format!("{errors} more problems");
            self.report.problem(&self.location, ValueError::new(more));
        }
        if others > 0 {
            let key = &self.location.key;
            self.report
                .note(format!("{key}: {others} more warnings and notes"));
        }
    }

    /// Refuses world-readable files with credentials.
    fn check_secret_files(&self, credentials: &[ImportedCredentials], context: &LoadContext<'_>) {
        let holds = |file: &&ImportFile| {
            let mut credentials = credentials.iter();
            credentials.any(|one| {
                *one.location.file == *file.name
                    && matches!(one.entry.source, CredentialSource::Static(_))
            })
        };
        for file in self.files.iter().filter(holds) {
            let location = file
                .location
                .in_imported(&platform::Location::start(file.name.as_str()));
            let _checked =
                context.read_bytes(self.report, &file.path, &location, FileSensitivity::Secret);
        }
    }
}

impl ImportFile {
    fn read(
        report: &ProblemReport<'_>,
        path: &Path,
        text: &ConfigText,
        context: &LoadContext<'_>,
    ) -> Option<Self> {
        let bytes = context.read_bytes(report, path, &text.location, FileSensitivity::Public)?;
        Some(Self {
            path: path.to_owned(),
            name: path.display().to_string(),
            bytes,
            is_named: path == Path::new(text.text.as_str()),
            location: text.location.clone(),
        })
    }

    fn input(&self) -> Input<'_> {
        Input {
            name: &self.name,
            bytes: &self.bytes,
            is_named: self.is_named,
        }
    }
}

/// All files, each once; `None` if one cannot be read.
fn files(section: &mut Section<'_>, context: &LoadContext<'_>) -> Option<Vec<ImportFile>> {
    let report = section.report;
    let texts = section.strings("files");
    if texts.as_ref().is_none_or(Vec::is_empty) {
        // What is not a list of strings has been reported already.
        if texts.is_some() || !section.has("files") {
            let error = ValueError::new("the import names no files");
            let error = error.hint("add files = [\"FILE\", \"FOLDER\", \"GLOB\"]");
            report.problem(&section.location_of("files", None), error);
        }
        return None;
    }
    let mut files: Vec<ImportFile> = Vec::new();
    let (mut bytes, mut is_whole) = (0, true);
    for text in texts.into_iter().flatten() {
        let paths = context.find_files(report, &text);
        is_whole &= paths.is_some();
        for path in paths.into_iter().flatten() {
            if files.iter().any(|file| file.path == path) {
                continue;
            }
            let Some(file) = ImportFile::read(report, &path, &text, context) else {
                is_whole = false;
                continue;
            };
            bytes += file.bytes.len();
            if bytes > BYTES_MAX {
                let error = format!("the files have more than {BYTES_MAX} bytes in total");
                report.problem(&text.location, ValueError::new(error));
                return None;
            }
            files.push(file);
        }
    }
    Some(files).filter(|_| is_whole)
}
