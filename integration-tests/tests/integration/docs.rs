//! What the documentation names is there: tests, files, crates, items, programs, and what it links.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Every document, by its path in the repository.
const DOCUMENTS: &[&str] = &[
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "benches/results/README.md",
    "benches/results/counts.md",
    "benches/results/machines.md",
    "benches/results/streams.md",
    "docs/architecture.md",
    "docs/changing-values.md",
    "docs/checks.md",
    "docs/compare.md",
    "docs/dashboard.md",
    "docs/devices.md",
    "docs/expiry.md",
    "docs/express.md",
    "docs/express-tests.md",
    "docs/formats.md",
    "docs/frameworks.md",
    "docs/from-tower-sessions.md",
    "docs/glossary.md",
    "docs/logging.md",
    "docs/operations.md",
    "docs/own-store.md",
    "docs/performance.md",
    "docs/production.md",
    "docs/recipes.md",
    "docs/reliability.md",
    "docs/security.md",
    "docs/sessionctl.md",
    "docs/streams.md",
    "docs/SUMMARY.md",
    "docs/testing.md",
    "docs/troubleshooting.md",
    "docs/which-crates.md",
    "examples/frameworks/README.md",
    "integration-tests/README.md",
    "integration-tests/servers/README.md",
    "session-actix/README.md",
    "session-cached/README.md",
    "session-conformance/README.md",
    "session-core/README.md",
    "session-express/README.md",
    "session-memory/README.md",
    "session-mongo/README.md",
    "session-mysql/README.md",
    "session-postgres/README.md",
    "session-redis/README.md",
    "session-sealed/README.md",
    "session-sqlite/README.md",
    "session-web/README.md",
    "session/README.md",
    "session-tower-sessions/README.md",
];

/// Names that are not ours, or whose file is made: folders of the machine, of other programs, of an
/// example's site; headers; settings of databases; tower-sessions' items.
const ELSEWHERE: &[&str] = &[
    "/",
    "/foo",
    "/foo/bar",
    "/tmp",
    "multipart/form-data",
    "session-tests",
    "tests/conformance.rs",
    "Host",
    "innodb_flush_log_at_trx_commit",
    "max_notify_queue_pages",
    "max_prepared_stmt_count",
    "sql_auto_is_null",
    "sqlite::memory:",
    "super_read_only",
    "synchronous_commit",
    "synchronous_standby_names",
    "Expiry::AtDateTime(date)",
    "Expiry::OnSessionEnd",
    "continuously_delete_expired",
    "with_name",
    "with_private",
    "with_same_site",
    "with_secure(false)",
    "with_signed",
];

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("a workspace").to_owned()
}

fn read(path: &str) -> String {
    let text = std::fs::read_to_string(root().join(path));
    text.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files of the repository, by their path in it, but for those that are made.
fn files() -> Vec<String> {
    fn walk(root: &Path, folder: &Path, files: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_made = ["target", "node_modules", ".git"].contains(&&*name);
            if path.is_dir() && !is_made {
                walk(root, &path, files);
            } else if !is_made {
                let path = path.strip_prefix(root).expect("below it");
                files.push(path.to_string_lossy().into_owned());
            }
        }
    }
    let mut files = Vec::new();
    walk(&root(), &root(), &mut files);
    files
}

/// The names of the workspace's packages, which may differ from the names of their folders.
fn packages(files: &[String]) -> BTreeSet<String> {
    let manifests = files.iter().filter(|file| file.ends_with("/Cargo.toml"));
    let name = |file: &String| {
        let manifest = read(file);
        let name = manifest
            .lines()
            .find_map(|line| line.strip_prefix("name = \""));
        name.map(|name| name.trim_end_matches('"').to_owned())
    };
    manifests.filter_map(name).collect()
}

/// The words of all sources: every identifier that there is.
fn identifiers(files: &[String]) -> BTreeSet<String> {
    let is_source = |file: &&String| {
        let ends = [".rs", ".toml", ".sh", ".js", "test.sh", ".ci/run"];
        // This file has the names of everything that is not there.
        ends.iter().any(|end| file.ends_with(end)) && !file.ends_with("integration/docs.rs")
    };
    let mut words = BTreeSet::new();
    for file in files.iter().filter(is_source) {
        let text = std::fs::read_to_string(root().join(file)).unwrap_or_default();
        words.extend(text.split(is_no_word).map(str::to_owned));
    }
    words
}

fn is_no_word(c: char) -> bool {
    !(c.is_ascii_alphanumeric() || c == '_')
}

/// The document without its blocks of code.
fn prose(document: &str) -> String {
    let mut is_code = false;
    let mut prose = String::new();
    for line in document.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    prose
}

/// What stands in backticks.
fn quoted(document: &str) -> Vec<String> {
    let prose = prose(document);
    let spans = prose.split('`').skip(1).step_by(2);
    spans.map(str::to_owned).collect()
}

/// The document, or the part of it that is about this project.
fn of_ours(path: &str) -> String {
    let text = read(path);
    match text.split_once("\n## What proves our side") {
        Some((_, ours)) => ours.to_owned(),
        None => text,
    }
}

/// All that stands in backticks in any document, and where.
fn all_quoted() -> Vec<(&'static str, String)> {
    let quoted = |path| {
        quoted(&of_ours(path))
            .into_iter()
            .map(move |name| (path, name))
    };
    let all = DOCUMENTS.iter().copied().flat_map(quoted);
    all.filter(|(_, name)| !ELSEWHERE.contains(&name.as_str()))
        .collect()
}

fn is_made_of(name: &str, others: &str) -> bool {
    name.chars()
        .all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

#[test]
fn every_test_that_a_document_names_exists() {
    let mut sources = String::new();
    for file in files().iter().filter(|file| file.ends_with(".rs")) {
        sources.push_str(&read(file));
    }
    let (mut count, mut missing) = (0, Vec::new());
    for (path, name) in all_quoted() {
        let name = name.rsplit("::").next().unwrap_or_default();
        let is_snake = name
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        if is_snake && name.split('_').filter(|word| !word.is_empty()).count() > 3 {
            count += 1;
            if !sources.contains(&format!("fn {name}(")) {
                missing.push(format!("{path}: {name}"));
            }
        }
    }
    assert_eq!(missing, [""; 0], "no test has these names");
    assert!(count > 50, "only {count} names were found");
}

#[test]
fn every_file_folder_and_crate_that_a_document_names_exists() {
    let files = files();
    let packages = packages(&files);
    let ends = [".rs", ".md", ".sh", ".js", ".json", ".toml", ".txt"];
    let mut count = 0;
    for (path, name) in all_quoted() {
        let is_path = is_made_of(&name, "_-./") && !name.contains("..");
        let is_file = is_path && ends.iter().any(|end| name.ends_with(end));
        let is_crate = name.starts_with("session-") && is_made_of(&name, "-");
        if !(is_file || is_crate || is_path && name.contains('/')) {
            continue;
        }
        count += 1;
        let name = name.trim_start_matches("./").trim_end_matches('/');
        let is_there = files.iter().any(|file| {
            let file = format!("/{file}");
            file.ends_with(&format!("/{name}")) || file.contains(&format!("/{name}/"))
        });
        let is_there = is_there || is_crate && packages.contains(name);
        assert!(is_there, "{path} names {name}");
    }
    assert!(count > 30, "only {count} names were found");
}

#[test]
fn every_item_that_a_document_names_exists() {
    let words = identifiers(&files());
    let (mut count, mut missing) = (0, Vec::new());
    for (path, name) in all_quoted() {
        // `Type::item`, `Type`, `item(…)`, `an_item`
        let head = name.split(['(', ' ', '=']).next().unwrap_or_default();
        let is_item = head.contains("::") && is_made_of(head, "_:");
        let is_type = head.starts_with(|c: char| c.is_ascii_uppercase())
            && head.contains(|c: char| c.is_ascii_lowercase())
            && is_made_of(head, "")
            && head == name;
        let is_call = name[head.len()..].starts_with('(') && is_made_of(head, "_");
        let is_lower = !head.contains(|c: char| c.is_ascii_uppercase());
        let is_snake = head.contains('_') && is_lower && is_made_of(head, "_") && head == name;
        if !(is_item || is_type || is_call || is_snake) {
            continue;
        }
        count += 1;
        for part in head.split("::").filter(|part| !part.is_empty()) {
            if !words.contains(part) {
                missing.push(format!("{path}: {part} of {name}"));
            }
        }
    }
    assert_eq!(missing, [""; 0], "nothing has these names");
    assert!(count > 200, "only {count} names were found");
}

/// The anchor that GitHub makes of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter_map(|c| match c {
        ' ' | '-' => Some('-'),
        '_' => Some('_'),
        c if c.is_alphanumeric() => Some(c.to_ascii_lowercase()),
        _ => None,
    });
    kept.collect()
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let mut count = 0;
    for path in DOCUMENTS.iter().copied() {
        let document = prose(&read(path));
        let folder = Path::new(path).parent().expect("a file");
        for link in document.split("](").skip(1) {
            let target = link.split(')').next().unwrap_or_default();
            if target.starts_with("http") {
                continue;
            }
            count += 1;
            let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
            let file = match file {
                "" => root().join(path),
                file => root().join(folder).join(file),
            };
            assert!(file.exists(), "{path} links {target}");
            if !fragment.is_empty() {
                let text = std::fs::read_to_string(&file).expect("a document");
                let headings = text.lines().filter(|line| line.starts_with('#'));
                let mut anchors = headings.map(|line| anchor(line.trim_start_matches('#').trim()));
                let is_there = anchors.any(|anchor| anchor == fragment);
                assert!(is_there, "{path} links {target}: no such heading");
            }
        }
    }
    assert!(count > 30, "only {count} links were found");
}

#[test]
fn every_program_and_package_of_a_command_exists() {
    let files = files();
    let packages = packages(&files);
    let mut count = 0;
    for path in DOCUMENTS.iter().copied() {
        let document = read(path).replace('\n', " ");
        let words: Vec<&str> = document.split_whitespace().collect();
        for pair in words.windows(2) {
            let name = pair[1].trim_matches(|c| is_no_word(c) && c != '-');
            let is_there = match pair[0].trim_start_matches(['`', '(']) {
                "--bin" => files.iter().any(|file| {
                    file.ends_with(&format!("src/bin/{name}.rs"))
                        || file.ends_with(&format!("src/bin/{name}/main.rs"))
                }),
                "-p" => packages.contains(name),
                "--manifest-path" => files.iter().any(|file| file == name),
                _ => continue,
            };
            count += 1;
            assert!(is_there, "{path} runs {} {name}", pair[0]);
        }
    }
    assert!(count > 10, "only {count} were found");
}

/// Wider tables are charts, or generated files.
#[test]
fn every_table_fits_on_a_screen() {
    let mut count = 0;
    for path in DOCUMENTS {
        let document = prose(&read(path));
        for row in document.lines().filter(|line| line.starts_with('|')) {
            count += 1;
            assert!(row.chars().count() <= 120, "{path}: {row}");
        }
    }
    assert!(count > 300, "only {count} rows were read");
}

/// Numbers that stand in a document and are counted elsewhere.
#[test]
fn what_is_counted_in_a_document_is_counted_right() {
    let faults = read("session-conformance/tests/broken_stores/main.rs");
    let faults = faults.matches(" says \"").count();
    let suite = read("session-conformance/README.md");
    let told = format!("`tests/broken_stores` has {faults} tests");
    assert!(suite.contains(&told), "{told:?}");
    let lines = read("session-conformance/src/reference.rs").lines().count();
    let told = format!("`reference.rs`, {} lines", lines / 10 * 10);
    assert!(suite.contains(&told), "{told:?}");
    let security = read("docs/security.md");
    let rules = security.lines().filter(|line| line.starts_with("#### S"));
    let told = format!("## The {} rules", rules.count());
    assert!(security.contains(&told), "{told:?}");
}
