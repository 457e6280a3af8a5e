//! What tables and commands say of features and formats.

use super::{packages, read, rows};

/// The lines of the `[features]` of a manifest.
fn features(manifest: &str) -> Vec<(&str, &str)> {
    let lines = manifest
        .lines()
        .skip_while(|line| *line != "[features]")
        .skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| line.split_once(" = ")).collect()
}

#[test]
fn what_is_added_by_a_command_exists() {
    let packages = packages();
    let mut count = 0;
    for page in [
        "README.md",
        "docs/which-crates.md",
        "docs/express.md",
        "docs/compare.md",
    ] {
        let text = read(page);
        for line in text
            .lines()
            .filter(|line| line.trim().starts_with("cargo add"))
        {
            let words = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = words.split_whitespace().skip(2).collect();
            let at = words.iter().position(|word| *word == "--features");
            let wanted = at.map_or("", |at| words[at + 1]).split(',');
            let names = &words[..at.unwrap_or(words.len())];
            let ours = names.iter().filter(|name| name.starts_with("session-"));
            let mut manifests = ours.map(|name| {
                let package = packages.iter().find(|(known, _)| known == name);
                package.unwrap_or_else(|| panic!("{page}: {line}: no package {name}"))
            });
            for (name, manifest) in &mut manifests {
                count += 1;
                for feature in wanted.clone().filter(|feature| !feature.is_empty()) {
                    let (of, feature) = feature.split_once('/').unwrap_or((name.as_str(), feature));
                    if of != name {
                        continue;
                    }
                    let has = features(manifest)
                        .iter()
                        .any(|(known, _)| *known == feature);
                    assert!(has, "{page}: {name} has no feature {feature}");
                }
            }
        }
    }
    assert!(count > 10, "only {count} were found");
}

#[test]
fn the_features_of_the_table_are_there_and_on_as_it_says() {
    let (page, packages) = (read("docs/which-crates.md"), packages());
    let mut count = 0;
    for row in rows(&page) {
        let [package, feature, default @ ("yes" | "no"), _] = row[..] else {
            continue;
        };
        let (package, feature) = (package.trim_matches('`'), feature.trim_matches('`'));
        let manifest = packages.iter().find(|(name, _)| name == package);
        let (_, manifest) = manifest.unwrap_or_else(|| panic!("no package {package}"));
        let features = features(manifest);
        assert!(
            features.iter().any(|(known, _)| *known == feature),
            "{package} has no {feature}"
        );
        let on = features.iter().find(|(known, _)| *known == "default");
        let is_on = on.is_some_and(|(_, list)| list.contains(&format!("\"{feature}\"")));
        assert_eq!(is_on, default == "yes", "{package}: {feature}");
        count += 1;
    }
    assert!(count > 5, "only {count} were found");
}

#[test]
fn the_versions_of_the_formats_are_those_of_the_code() {
    let page = read("docs/formats.md");
    for (format, file, before) in [
        (
            "Redis: ",
            "session-redis/src/record.rs",
            "const VERSION: u8 = ",
        ),
        (
            "MongoDB: ",
            "session-mongo/src/schema.rs",
            "const VERSION: i32 = ",
        ),
        (
            "MySQL, MariaDB: ",
            "session-mysql/src/schema.rs",
            "const VERSION: u8 = ",
        ),
        (
            "PostgreSQL: ",
            "session-postgres/src/schema.rs",
            "const VERSION: u8 = ",
        ),
        (
            "SQLite: ",
            "session-sqlite/src/schema.rs",
            "const VERSION: u8 = ",
        ),
        (
            "memory: ",
            "session-memory/src/snapshot.rs",
            "b\"session-memory snapshot ",
        ),
        (
            "the credential",
            "session-core/src/manager/identity/state.rs",
            "const VERSION: u8 = ",
        ),
        (
            "a description",
            "session-core/src/manager/description.rs",
            "const VERSION: u8 = ",
        ),
        (
            "`SealedStore`: sealed data",
            "session-sealed/src/seal.rs",
            "const VERSION: u8 = ",
        ),
        (
            "`SealedStore`: what is authenticated",
            "session-sealed/src/associated_data.rs",
            "b\"sealed record v",
        ),
        (
            "a session in the cookie: content",
            "session-web/src/sealed.rs",
            "const CONTENT: u8 = ",
        ),
        (
            "a session in a readable cookie",
            "session-web/src/sealed.rs",
            "const SIGNED: u8 = ",
        ),
    ] {
        let source = read(file);
        let (_, after) = source.split_once(before).expect(file);
        let end = after.find(|c: char| !c.is_ascii_digit());
        let version = &after[..end.expect("more text")];
        let row = rows(&page).find(|row| row[0].starts_with(format));
        let row = row.unwrap_or_else(|| panic!("no row {format}"));
        assert_eq!(row[2], version, "{format}");
    }
}
