//! What the registry gets: the manifests, the READMEs beside them, and what a package may include.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The workspace and its dependencies, as cargo sees them.
struct Workspace(Value);

impl Workspace {
    fn read() -> Self {
        // Only this system's dependencies were downloaded.
        let system = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let output = Command::new(std::env::var("CARGO").unwrap_or("cargo".to_owned()))
            .args(["metadata", "--locked", "--format-version", "1"])
            .args(["--all-features", "--filter-platform", &system])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output();
        let output = output.expect("cargo runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cargo metadata: {errors}");
        Self(serde_json::from_slice(&output.stdout).expect("JSON"))
    }

    fn packages(&self) -> impl Iterator<Item = &Value> {
        self.0["packages"].as_array().into_iter().flatten()
    }

    /// The packages that are published.
    fn published(&self) -> Vec<&Value> {
        let ours = self
            .packages()
            .filter(|package| package["source"].is_null());
        // No list of registries: any.
        let published: Vec<_> = ours
            .filter(|package| package["publish"].is_null())
            .collect();
        assert!(published.len() >= 10, "only {} are", published.len());
        published
    }

    /// What the package of this id is built with, itself included, but for the packages `without`.
    fn built_with<'a>(&'a self, id: &'a str, without: &[&str]) -> BTreeSet<&'a str> {
        let nodes = self.0["resolve"]["nodes"].as_array().into_iter().flatten();
        let nodes: BTreeMap<&str, &Value> = nodes.map(|node| (text(&node["id"]), node)).collect();
        let (mut found, mut open) = (BTreeSet::new(), vec![id]);
        while let Some(id) = open.pop() {
            if !found.insert(id) {
                continue;
            }
            let dependencies = nodes[id]["deps"].as_array().into_iter().flatten();
            for dependency in dependencies {
                let mut kinds = dependency["dep_kinds"].as_array().into_iter().flatten();
                let is_left_out = without
                    .iter()
                    .any(|name| text(&dependency["name"]) == name.replace('-', "_"));
                if kinds.any(|kind| kind["kind"] != "dev") && !is_left_out {
                    open.push(text(&dependency["pkg"]));
                }
            }
        }
        found
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A Rust version, to compare.
fn version(value: &Value) -> Vec<u32> {
    let parts = text(value).split('.').filter_map(|part| part.parse().ok());
    let mut parts: Vec<u32> = parts.collect();
    parts.resize(3, 0);
    parts
}

fn readme(package: &Value) -> String {
    let manifest = Path::new(text(&package["manifest_path"]));
    let path = manifest.with_file_name(text(&package["readme"]));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn no_dependency_needs_a_later_rust_than_its_package_declares() {
    let workspace = Workspace::read();
    for package in workspace.published() {
        let name = text(&package["name"]);
        let declared = &package["rust_version"];
        // The facade's README says what these features need.
        let without: &[_] = if name == "session-store" {
            &[
                "session-mysql",
                "session-postgres",
                "session-sqlite",
                "session-conformance",
            ]
        } else {
            &[]
        };
        let built_with = workspace.built_with(text(&package["id"]), without);
        assert!(built_with.len() > 10, "{name} has dependencies");
        let later = workspace.packages().filter(|dependency| {
            built_with.contains(text(&dependency["id"]))
                && version(&dependency["rust_version"]) > version(declared)
        });
        let later: Vec<_> = later
            .map(|one| format!("{} {}", text(&one["name"]), one["rust_version"]))
            .collect();
        assert_eq!(later, [""; 0], "{name} declares {declared}");
    }
}

#[test]
fn every_package_says_what_the_registry_shows() {
    for package in Workspace::read().published() {
        let name = text(&package["name"]);
        for key in [
            "description",
            "license",
            "repository",
            "readme",
            "rust_version",
        ] {
            assert_ne!(text(&package[key]), "", "{key} of {name}");
        }
        for key in ["keywords", "categories"] {
            let count = package[key].as_array().map_or(0, Vec::len);
            assert!((1..=5).contains(&count), "{count} {key} of {name}");
        }
        let docs = &package["metadata"]["docs"]["rs"];
        assert_eq!(docs["all-features"], true, "docs.rs shows all of {name}");
    }
}

#[test]
fn every_readme_has_its_features_and_its_rust_version() {
    for package in Workspace::read().published() {
        let (name, readme) = (text(&package["name"]), readme(package));
        let features = package["features"].as_object().expect("a table");
        let default = features.get("default").cloned().unwrap_or_default();
        let default: Vec<&str> = default.as_array().into_iter().flatten().map(text).collect();
        let names = features.keys().filter(|feature| *feature != "default");
        let is_on = |feature: &String| {
            if default.contains(&feature.as_str()) {
                "on"
            } else {
                "off"
            }
        };
        let expected: BTreeSet<String> = names
            .map(|feature| format!("| `{feature}` | {} |", is_on(feature)))
            .collect();
        let (_, table) = readme.split_once("## Cargo features").unwrap_or_default();
        let (table, _) = table.split_once("\n## ").unwrap_or_default();
        let rows = table.lines().filter(|line| line.starts_with("| `"));
        let listed = rows.map(|row| row.split_inclusive('|').take(3).collect::<String>());
        assert_eq!(
            listed.collect::<BTreeSet<_>>(),
            expected,
            "the features of {name}"
        );
        let rust = text(&package["rust_version"]);
        let told = format!("The minimum Rust version is {rust}");
        assert!(readme.contains(&told), "the README of {name}: {told}");
    }
}

/// The text of each `include_str!` in the sources below, by file.
fn included(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            included(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = std::fs::read_to_string(&path).expect("a source");
            for rest in source.split("include_str!(\"").skip(1) {
                let file = rest.split('"').next().unwrap_or_default();
                found.push((path.clone(), file.to_owned()));
            }
        }
    }
}

#[test]
fn no_package_includes_a_file_from_outside_of_it() {
    let mut count = 0;
    for package in Workspace::read().published() {
        let manifest = Path::new(text(&package["manifest_path"]));
        let root = manifest.parent().expect("a folder");
        let mut found = Vec::new();
        included(&root.join("src"), &mut found);
        for (source, file) in found {
            // Packages have no test that runs, only the sources of some.
            if source.ends_with("tests.rs") {
                continue;
            }
            count += 1;
            let folder = source.strip_prefix(root).expect("below").parent();
            let mut depth = folder.expect("src").components().count();
            for part in Path::new(&file).components() {
                depth = match part {
                    Component::ParentDir => depth
                        .checked_sub(1)
                        .unwrap_or_else(|| panic!("{} includes {file}", source.display())),
                    _ => depth + 1,
                };
            }
        }
    }
    assert!(count >= 10, "only {count} files are included");
}
