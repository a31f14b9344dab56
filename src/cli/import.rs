//! `roadstead import`: converts other programs' files into a configuration.

use std::{
    fmt::Write as _,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use clap::{
    Args,
    builder::{NonEmptyStringValueParser, PossibleValue, PossibleValuesParser, TypedValueParser},
};
use serde_json::json;

use super::{
    exit::Exit,
    load::ConfigArguments,
    output::{eprint_error, eprint_line, print_text},
};
use crate::{
    config::{Environment, LoadContext, Overrides, SelfAddresses},
    disk::{self, ExistingFile, ReadableBy},
    oci::Registry,
    platform::{
        self, CertificateAuthority, Diagnostic, DiagnosticCode, Format, FormatOption,
        INPUT_BYTES_MAX, ImportOptions, Imported, Input, Location, Severity, SourceFallback,
        WrittenConfig,
    },
};

/// Most files of one import.
const FILES_MAX: usize = 4096;
/// Most bytes of all files together.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// The argument for stdin, and its name in diagnostics.
const STDIN: &str = "-";

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// What the files are.
    #[arg(value_name = "FORMAT", value_parser = formats())]
    format: FormatChoice,
    /// Files, folders (all files below), globs such as 'certs.d/*/hosts.toml', or - for stdin.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write passwords and certificates to files of mode 0600 in this folder, and refer to those. Without
    /// it, they are left out.
    #[arg(long, value_name = "DIR", value_parser = NonEmptyStringValueParser::new())]
    secrets_dir: Option<String>,
    #[arg(long, value_name = "FILE", help = baseline_help())]
    baseline: Option<PathBuf>,
    #[arg(long, value_name = "HOST[:PORT]", help = internal_registry_help())]
    internal_registry: Option<Registry>,
    /// Whether images may also come from their own registries. auto: as the format specifies, but not
    /// where it describes a site without Internet access.
    #[arg(long, default_value = "auto", value_name = "WHETHER", value_parser = fallbacks())]
    fallback: SourceFallback,
    /// Print errors, warnings and notes as one JSON object per line, still on stderr.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

/// A format; `None`: each document in the format that it is detected to be in.
#[derive(Clone, Copy, Debug)]
struct FormatChoice(Option<&'static Format>);

pub(super) fn run(arguments: &Arguments) -> Exit {
    let self_addresses = match arguments.config.load(&Overrides::default()) {
        Ok(loaded) => loaded.settings.self_addresses,
        Err(exit) => return exit,
    };
    let mut files = InputFiles::default();
    for path in &arguments.files {
        files.add(path);
    }
    let count = files.files.len();
    if let Some(path) = &arguments.baseline {
        files.add(path);
    }
    let inputs: Vec<_> = files.files.iter().map(InputFile::input).collect();
    let (inputs, baseline) = inputs.split_at_checked(count).unwrap_or_default();
    let options = ImportOptions {
        baseline: baseline.first().copied(),
        internal_registry: arguments.internal_registry.as_ref().map(Registry::as_str),
        fallback: arguments.fallback,
        own: &|registry| SelfAddresses::contains_registry(&self_addresses, registry),
        is_own_guessed: arguments.config.config.is_none(),
    };
    let imported = if files.diagnostics.is_empty() {
        platform::import(arguments.format.0, inputs, &options)
    } else {
        Imported {
            diagnostics: files.diagnostics,
            ..Imported::default()
        }
    };
    let (reported, more) = imported.reported();
    for diagnostic in reported {
        if arguments.json {
            eprint_line(diagnostic_json(diagnostic));
        } else {
            eprint_line(diagnostic);
        }
    }
    for (count, what) in more.into_iter().zip(["errors", "warnings and notes"]) {
        if count > 0 {
            eprint_error(format_args!("{count} more {what}"));
        }
    }
    if imported.is_refused() {
        if !arguments.json {
            let is_error = |diagnostic: &&Diagnostic| diagnostic.level == Severity::Error;
            let count = imported.diagnostics.iter().filter(is_error).count();
            let errors = if count == 1 { "error" } else { "errors" };
            eprint_error(format_args!("{count} {errors}: nothing was imported"));
        }
        return Exit::BadInput;
    }
    print_config(&imported, arguments)
}

/// A diagnostic as one line of JSON, without control characters, which would be escaped once more.
fn diagnostic_json(diagnostic: &Diagnostic) -> String {
    let Diagnostic {
        level,
        code,
        location,
        message,
        excerpt,
        fix,
    } = diagnostic;
    let level = match level {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let object = json!({
        "file": &*location.file, "line": location.line, "column": location.column,
        "code": code.as_str(), "level": level, "message": message, "shown": excerpt, "fix": fix,
    });
    let mut line = String::new();
    for letter in object.to_string().chars() {
        if letter.is_control() {
            let _never = write!(line, "\\u{:04x}", u32::from(letter)).is_err();
        } else {
            line.push(letter);
        }
    }
    line
}

/// Prints the configuration, after writing the files that it names.
fn print_config(imported: &Imported, arguments: &Arguments) -> Exit {
    let secrets_dir = arguments.secrets_dir.as_deref();
    if let Err(exit) = check_reads_back(imported) {
        return exit;
    }
    let written = platform::write(imported, secrets_dir);
    if let Some(folder) = secrets_dir
        && let Err(exit) = write_secrets(Path::new(folder), &written)
    {
        return exit;
    }
    if !arguments.json {
        warn_of_comments(&written);
    }
    print_text(&written.toml);
    Exit::Success
}

/// Warns of what the configuration lacks without files for secrets.
fn warn_of_comments(written: &WrittenConfig) {
    for (count, what) in [
        (written.credentials_left_out, "credential"),
        (written.cas_left_out, "certificate"),
    ] {
        if count > 0 {
            let (s, verb) = if count == 1 { ("", "is") } else { ("s", "are") };
            eprint_error(format_args!(
                "warning: {count} {what}{s} {verb} in comments only; --secrets-dir DIR writes them to files"
            ));
        }
    }
}

/// Reads the output as `serve` would, so that no output is refused by it. Files that it only refers
/// to count as valid.
fn check_reads_back(imported: &Imported) -> Result<(), Exit> {
    let mut imported = imported.clone();
    for upstream in &mut imported.upstreams {
        upstream.client = None;
        if let Some(CertificateAuthority::File(_)) = upstream.ca {
            upstream.ca = None;
        }
    }
    let WrittenConfig { toml, files, .. } = platform::write(&imported, Some(""));
    let find = |path: &Path, _content| {
        let file = files.iter().find(|file| Path::new(&file.name) == path);
        let bytes = file.map(|file| file.text.reveal().as_bytes().to_owned());
        bytes.ok_or_else(|| io::ErrorKind::NotFound.into())
    };
    let context = LoadContext {
        read_file: &find,
        find_files: &|_path| Err(io::ErrorKind::NotFound.into()),
        environment: &Environment::default(),
    };
    // The mirror's own addresses have been checked already, with the right configuration.
    let overrides = Overrides {
        listen: Some("unix:roadstead.sock".to_owned()),
        store: None,
    };
    let read = crate::config::read(&toml, "the imported configuration", &overrides, &context);
    read.map(|_loaded| ()).map_err(|problems| {
        eprint_error(problems);
        Exit::BadInput
    })
}

/// Writes the secrets; existing files are replaced, which is reported.
fn write_secrets(folder: &Path, written: &WrittenConfig) -> Result<(), Exit> {
    for file in &written.files {
        let path = folder.join(&file.name);
        let put = disk::existing_file(&path, file.text.reveal()).and_then(|existing| {
            disk::atomic_write(&path, file.text.reveal(), ReadableBy::Owner).map(|()| existing)
        });
        let what = match put {
            Ok(ExistingFile::Absent) => "written",
            Ok(ExistingFile::Same) => "unchanged",
            Ok(ExistingFile::Other) => "replaced",
            Err(error) => {
                eprint_error(format_args!("{}: cannot write: {error}", path.display()));
                return Err(Exit::Failed);
            }
        };
        eprint_line(format_args!("{}: {what}", path.display()));
    }
    Ok(())
}

/// How a file was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InputOrigin {
    Named,
    /// In a folder, or by a glob.
    Found,
}

/// The files that were read, in order, within the bounds.
#[derive(Default)]
struct InputFiles {
    files: Vec<InputFile>,
    bytes: usize,
    diagnostics: Vec<Diagnostic>,
}

/// A file, which may hold secrets.
struct InputFile {
    name: String,
    bytes: Vec<u8>,
    is_named: bool,
}

impl InputFile {
    fn input(&self) -> Input<'_> {
        Input {
            name: &self.name,
            bytes: &self.bytes,
            is_named: self.is_named,
        }
    }
}

impl InputFiles {
    fn add(&mut self, path: &Path) {
        if path == Path::new(STDIN) {
            let mut bytes = Vec::new();
            let most = u64::try_from(INPUT_BYTES_MAX + 1).unwrap_or(u64::MAX);
            let read = io::stdin().lock().take(most).read_to_end(&mut bytes);
            self.take(path, InputOrigin::Named, read.map(|_count| bytes));
            return;
        }
        match disk::gather(path, &|_path| ()) {
            Ok(paths) => {
                for found in paths {
                    let read = disk::read_bytes(&found, |_mode| Ok(()));
                    let origin = if found == path {
                        InputOrigin::Named
                    } else {
                        InputOrigin::Found
                    };
                    self.take(&found, origin, read);
                }
            }
            Err(error) => self.take(path, InputOrigin::Named, Err(error)),
        }
    }

    fn take(&mut self, path: &Path, origin: InputOrigin, read: io::Result<Vec<u8>>) {
        let name = path.display().to_string();
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) => {
                self.refuse(&name, format!("cannot read the file: {error}"));
                return;
            }
        };
        self.bytes += bytes.len();
        if self.bytes > BYTES_MAX || self.files.len() == FILES_MAX {
            let message = format!("more than {FILES_MAX} files, or {BYTES_MAX} bytes in total");
            self.refuse(&name, message);
        } else {
            self.files.push(InputFile {
                name,
                bytes,
                is_named: origin == InputOrigin::Named,
            });
        }
    }

    fn refuse(&mut self, name: &str, message: String) {
        self.diagnostics.push(Diagnostic {
            level: Severity::Error,
            code: DiagnosticCode::File,
            location: Location::start(name),
            message,
            excerpt: None,
            fix: None,
        });
    }
}

fn formats() -> impl TypedValueParser<Value = FormatChoice> {
    let auto =
        PossibleValue::new("auto").help("The format that each document is detected to be in");
    let known = platform::importable()
        .map(|(format, importer)| PossibleValue::new(format.name).help(importer.about));
    PossibleValuesParser::new([auto].into_iter().chain(known)).map(|name: String| {
        let mut choices = platform::import_choices();
        let chosen = choices.find(|(choice, _)| *choice == name);
        FormatChoice(chosen.and_then(|(_, format)| format))
    })
}

fn fallbacks() -> impl TypedValueParser<Value = SourceFallback> {
    let words = SourceFallback::WORDS;
    PossibleValuesParser::new(words.map(|(word, _)| word)).map(move |name: String| {
        let chosen = words.iter().find(|(word, _)| *word == name);
        chosen.map_or_else(SourceFallback::default, |(_, fallback)| *fallback)
    })
}

fn baseline_help() -> String {
    format!(
        "The images that the platform uses without its override ({}); without it, those that are built in",
        readers_of(FormatOption::Baseline)
    )
}

fn internal_registry_help() -> String {
    let readers = readers_of(FormatOption::InternalRegistry);
    format!("The registry that image streams are in ({readers})")
}

/// The formats that read an option, for its help.
fn readers_of(option: FormatOption) -> String {
    let readers = platform::importable().filter(|(_, importer)| importer.options.contains(&option));
    let names: Vec<_> = readers.map(|(format, _)| format.name).collect();
    names.join(", ")
}
