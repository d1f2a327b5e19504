//! The `mod` lines of `lib.rs` are the layering: a room imports only from rooms above it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A room and its text, without its tests.
type Sources = BTreeMap<String, String>;

#[test]
fn a_room_imports_only_from_rooms_above_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let rooms = rooms(&fs::read_to_string(source.join("lib.rs")).unwrap());
    assert!(rooms.len() >= 15, "{rooms:?}");
    let mut sources = Sources::new();
    for room in &rooms {
        let text = read(&source.join(room)) + &read_file(&source.join(format!("{room}.rs")));
        assert!(!text.is_empty(), "{room} has no source");
        sources.insert(room.clone(), text);
    }
    assert_eq!(violations(&rooms, &sources), Vec::<String>::new());
}

#[test]
fn a_planted_violation_is_found() {
    let lib = "mod upper;\n#[cfg(feature = \"x\")]\npub mod lower;\npub use lower::Thing;\n";
    let rooms = rooms(lib);
    assert_eq!(rooms, ["upper", "lower"]);
    let sources = |upper: &str, lower: &str| {
        Sources::from([("upper".to_owned(), upper.to_owned()), ("lower".to_owned(), lower.to_owned())])
    };
    assert!(violations(&rooms, &sources("use crate::upper::X;", "use crate::upper::X;")).is_empty());
    for planted in [
        "use crate::lower::Thing;",
        "fn f() { crate::lower::f() }",
        "use crate::{lower, upper};",
        "use crate::Thing;",
    ] {
        assert_eq!(violations(&rooms, &sources(planted, "")).len(), 1, "{planted}");
    }
    let only_in_tests = "fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::lower::Thing;\n}\n";
    assert!(violations(&rooms, &sources(&without_tests(only_in_tests), "")).is_empty());
}

/// `jose/` is pure: it never awaits, reads a clock, logs, or sees an HTTP header.
#[test]
fn the_verification_core_is_pure() {
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/jose");
    let impure = |text: &str| {
        [
            "async ",
            ".await",
            "SystemTime::now",
            "Instant::now",
            "Clock",
            "tracing::",
            "http::",
            "tokio::",
            "std::fs",
            "std::net",
        ]
        .into_iter()
        .find(|word| code(text).contains(word))
    };
    assert_eq!(impure(&read(&core)), None);
    for planted in
        ["let now = SystemTime::now();", "tracing::debug!(\"x\");", "use http::HeaderMap;", "async fn f() {}"]
    {
        assert!(impure(planted).is_some(), "{planted}");
    }
}

/// No unsafe code, no process-global state.
#[test]
fn nothing_is_global() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let global = |text: &str| {
        ["static ", "thread_local!", "OnceLock", "LazyLock", "install_default"].into_iter().find(|word| {
            code(text).lines().any(|line| {
                line.trim_start()
                    .trim_start_matches("pub ")
                    .trim_start_matches("pub(crate) ")
                    .starts_with(word)
                    || (*word != "static " && line.contains(word))
            })
        })
    };
    assert_eq!(global(&read(&source)), None);
    for planted in ["static X: u8 = 0;", "    pub(crate) static X: u8 = 0;", "use std::sync::OnceLock;"] {
        assert!(global(planted).is_some(), "{planted}");
    }
    assert_eq!(global("fn f(x: &'static str) {}"), None);
}

fn rooms(lib: &str) -> Vec<String> {
    let declared = |line: &str| {
        let name = line.strip_prefix("pub ").unwrap_or(line).strip_prefix("mod ")?.strip_suffix(';')?;
        Some(name.to_owned())
    };
    lib.lines().filter_map(declared).collect()
}

/// Every mention of a room by one above it, and of the crate's root, where the public names are.
fn violations(rooms: &[String], sources: &Sources) -> Vec<String> {
    let mut found = Vec::new();
    for (place, room) in rooms.iter().enumerate() {
        let above = &rooms[..=place];
        for import in imports(&sources[room]) {
            if !above.contains(&import) {
                found.push(format!("{room} imports {import}"));
            }
        }
    }
    found
}

fn imports(text: &str) -> Vec<String> {
    let mut imports = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        // `pub(crate)::` does not exist, and `$crate` is not used.
        let rest = &text[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let group = group.split('}').next().unwrap_or_default();
            imports.extend(group.split(',').map(|name| first_name(name.trim())));
        } else {
            imports.push(first_name(rest));
        }
    }
    imports.retain(|name| !name.is_empty());
    imports.sort();
    imports.dedup();
    imports
}

fn first_name(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The sources of a folder, one after the other, without tests and test-only files.
fn read(folder: &Path) -> String {
    let Ok(entries) = fs::read_dir(folder) else { return String::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        if name == "vectors" || name == "manual" {
            String::new()
        } else if path.is_dir() {
            read(path)
        } else {
            read_file(path)
        }
    };
    paths.iter().map(read).collect()
}

fn read_file(path: &Path) -> String {
    fs::read_to_string(path).map(|text| without_tests(&text)).unwrap_or_default()
}

/// Without doc comments and without the tests, which stand last in a file.
fn without_tests(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//") && !line.contains("doc = \""))
        .fold(String::new(), |text, line| text + line + "\n")
}

fn code(text: &str) -> String {
    without_tests(text)
}
