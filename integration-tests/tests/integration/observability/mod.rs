//! The dashboard and the alerts, on a real Prometheus that scrapes a program which uses every part of
//! the library that is measured.

mod program;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use integration_tests::servers::{Kind, Prometheus, is_skipped, promtool};
use serde_json::Value;
use session_core::metrics::names;

use program::Program;

/// How long until every query has data. The machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

const EVERY_NAME: [&str; 19] = [
    names::OPERATIONS,
    names::OPERATION_SECONDS,
    names::BATCH_SIZE,
    names::QUEUED,
    names::REPEATS,
    names::REPLACED_CLIENTS,
    names::OPEN_CIRCUITS,
    names::OPENINGS,
    names::REJECTED,
    names::REAPED,
    names::CREATED,
    names::RENEWED,
    names::ENDED,
    names::REPLAYS,
    names::REUSES,
    names::REFUSED_TOKENS,
    names::REJECTED_COOKIES,
    names::CORRUPT,
    names::CLOSED_STREAMS,
];

fn folder() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("a workspace").join("observability")
}

fn read(path: &Path) -> String {
    let text = std::fs::read_to_string(path);
    text.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn dashboard() -> Value {
    serde_json::from_str(&read(&folder().join("dashboard.json"))).expect("JSON")
}

/// The queries of the dashboard, with what Grafana puts in the place of its variables.
fn queries() -> Vec<String> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array());
    let expressions = targets.flatten().map(|target| target["expr"].as_str());
    let queries = expressions.map(|expression| {
        let expression = expression.expect("a query");
        let query = expression.replace("$__rate_interval", "5s");
        let query = query.replace("$system", ".*").replace("$server", ".*");
        assert!(!query.contains('$'), "a variable without a value: {query}");
        query
    });
    queries.collect()
}

#[test]
fn the_alerts_fire_in_the_states_that_they_are_for() {
    let checked = promtool(&folder(), &["check", "rules", "alerts.yml"]);
    checked.unwrap_or_else(|why| panic!("{why}"));
    let tested = promtool(&folder(), &["test", "rules", "alerts.test.yml"]);
    tested.unwrap_or_else(|why| panic!("{why}"));
    let (rules, tests) = ("alerts.yml", "alerts.test.yml");
    let (rules, tests) = (read(&folder().join(rules)), read(&folder().join(tests)));
    let alerts = rules
        .lines()
        .filter_map(|line| line.split_once("- alert: "));
    for (_, alert) in alerts {
        let tested = format!("alertname: {alert}\n        exp_alerts:");
        assert!(tests.contains(&tested), "no test has {alert} fire");
    }
}

#[test]
fn every_metric_is_on_the_dashboard_and_in_the_manual() {
    let shown = queries().join("\n");
    let manual = read(
        &folder()
            .parent()
            .expect("a workspace")
            .join("docs/logging.md"),
    );
    for name in EVERY_NAME {
        assert!(shown.contains(name), "no panel shows {name}");
        assert!(manual.contains(&format!("`{name}`")), "{name}");
    }
}

#[tokio::test]
async fn each_query_of_the_dashboard_has_data_and_each_rule_is_healthy() {
    if is_skipped(Kind::Redis) {
        return;
    }
    let program = Program::start().await;
    let prometheus = Prometheus::start(program.port, &folder().join("alerts.yml")).await;
    let (began, mut empty) = (Instant::now(), queries());
    assert!(empty.len() > 20, "{empty:?}");
    while !empty.is_empty() {
        assert!(
            began.elapsed() < PATIENCE,
            "no data for {empty:#?}\n{}",
            program.scraped()
        );
        tokio::time::sleep(Duration::from_millis(250)).await;
        let mut left = Vec::new();
        for query in empty {
            let samples = prometheus.query(&query).await;
            if !samples.iter().any(|(_, value)| value.is_finite()) {
                left.push(query);
            }
        }
        empty = left;
    }
    let rules = prometheus.rules().await;
    assert!(rules.len() >= 8, "{rules:?}");
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    // One of the program's databases is down.
    let away = rules
        .iter()
        .find(|rule| rule["name"] == "SessionStoreUnavailable");
    assert_ne!(away.expect("a rule")["state"], "inactive");
}
