//! The pages for platforms are true: their files are written, their commands are run, and the output
//! must match.
//!
//! A block that begins with a language and a name is a file of that name. In a block of `console`
//! each line after `$ ` is a command, followed by its output; `…` matches any text.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::rows::Rows;

/// Files may have secrets, which only the owner may read.
const FILE_MODE: u32 = 0o600;

/// What stands between two fences: the words of the first one, and the lines.
type Block<'p> = (Vec<&'p str>, String);

fn pages() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/platforms");
    let entries = fs::read_dir(folder).unwrap();
    let mut pages: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    pages
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut open: Option<Block<'_>> = None;
    for line in page.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(words), None) => open = Some((words.split(' ').collect(), String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some((_, text))) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block without an end: {open:?}");
    blocks
}

/// Each command of a block with what it is to print.
fn commands(text: &str) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    let mut goes_on = false;
    for line in text.lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((format!("{command}\n"), String::new())),
            (None, Some((command, _))) if goes_on => command.extend([line, "\n"]),
            (None, Some((_, printed))) => printed.extend([line, "\n"]),
            (None, None) => panic!("no command above {line:?}"),
        }
        goes_on = line.ends_with('\\');
    }
    commands
}

fn run(command: &str, folder: &Path) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_roadstead"));
    let ours = program.parent().unwrap().display();
    let output = Command::new("sh")
        .args(["-c", &format!("exec 2>&1\nPATH='{ours}':$PATH\n{command}")])
        .current_dir(folder)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Whether a text is what was expected, `…` being anything.
fn fits(text: &str, expected: &str) -> bool {
    let mut parts = expected.split('…');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap()) else {
        return false;
    };
    let mut parts: Vec<_> = parts.collect();
    let Some(end) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(end)
}

#[test]
fn every_command_prints_what_its_page_shows() {
    let mut rows = Rows::default();
    let pages = pages();
    assert!(pages.len() > 5, "{pages:?}");
    for page in pages {
        let folder = tempfile::tempdir().unwrap();
        let text = fs::read_to_string(&page).unwrap();
        let mut ran = 0;
        for (words, block) in blocks(&text) {
            if let [_, name] = words[..] {
                let file = folder.path().join(name);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(&file, block).unwrap();
                fs::set_permissions(&file, fs::Permissions::from_mode(FILE_MODE)).unwrap();
            } else if words == ["console"] {
                for (command, expected) in commands(&block) {
                    let row = format!("{}: {command}", page.display());
                    let printed = run(&command, folder.path());
                    rows.holds(&row, fits(&printed, &expected), &printed);
                    ran += 1;
                }
            }
        }
        let is_index = page.ends_with("README.md");
        rows.holds(&page.display().to_string(), is_index || ran > 3, &ran);
    }
}

/// The table of formats in the code, the one in the index and the example configuration agree.
#[test]
fn the_documents_name_every_format() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let index = fs::read_to_string(root.join("docs/platforms/README.md")).unwrap();
    let example = fs::read_to_string(root.join("config/roadstead.toml")).unwrap();
    let column = |number: usize| -> String {
        let cells = index.lines().filter_map(|line| line.split('|').nth(number));
        cells.collect()
    };
    let (read, written) = (column(2), column(3));
    let mut rows = Rows::default();
    for (format, _) in roadstead::internals::platform::importable() {
        let name = format.name;
        rows.holds(name, read.contains(&format!("`{name}`")), &read);
        rows.holds(
            name,
            example.contains(&format!("\"{name}\"")),
            &"roadstead.toml",
        );
    }
    for (name, _) in roadstead::internals::platform::renderable() {
        rows.holds(name, written.contains(&format!("`{name}`")), &written);
    }
}
