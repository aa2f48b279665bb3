use std::collections::BTreeSet;
use std::fs;

use proptest::prelude::*;

use super::*;

/// A line of the format, read as its specification says.
#[derive(Debug, PartialEq)]
enum Line {
    Help(String),
    Type(String),
    Sample {
        name: String,
        labels: Vec<(String, String)>,
        value: f64,
    },
}

fn parse(text: &str) -> Vec<Line> {
    assert!(text.is_empty() || text.ends_with('\n'));
    // The line feed only: a label may hold every other character that some take for a line's end.
    let lines = text.split('\n').filter(|line| !line.is_empty());
    lines.map(parse_line).collect()
}

fn parse_line(line: &str) -> Line {
    if let Some(rest) = line.strip_prefix("# HELP ") {
        return Line::Help(rest.split_once(' ').unwrap().0.to_owned());
    }
    if let Some(rest) = line.strip_prefix("# TYPE ") {
        return Line::Type(rest.strip_suffix(" gauge").unwrap().to_owned());
    }
    let (name, mut rest) = line.split_once('{').unwrap();
    let mut labels = Vec::new();
    while !rest.starts_with('}') {
        let (label, after) = rest.split_once("=\"").unwrap();
        let (value, after) = quoted(after);
        labels.push((label.to_owned(), value));
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    let value = rest.strip_prefix("} ").unwrap().parse().unwrap();
    Line::Sample {
        name: name.to_owned(),
        labels,
        value,
    }
}

/// Up to the quote that ends it, unescaped; and what follows.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.push(match chars.next().unwrap().1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    panic!("no end: {text}");
}

fn metrics() -> Metrics {
    Metrics::new("/backups")
}

#[test]
fn a_family_has_its_help_and_type_once() {
    let mut metrics = metrics();
    metrics.set(Family::Size, 12.0);
    metrics.add(Family::DatabaseSize, "database", "app", 5.0);
    metrics.add(Family::DatabaseSize, "database", "jupyterhub", 1e15);
    assert_eq!(
        metrics.text(),
        "\
# HELP postgresql_backup_size_bytes The newest backup's size.
# TYPE postgresql_backup_size_bytes gauge
postgresql_backup_size_bytes{store=\"/backups\"} 12
# HELP postgresql_backup_database_size_bytes A database's size in the newest backup.
# TYPE postgresql_backup_database_size_bytes gauge
postgresql_backup_database_size_bytes{store=\"/backups\",database=\"app\"} 5
postgresql_backup_database_size_bytes{store=\"/backups\",database=\"jupyterhub\"} 1000000000000000
"
    );
}

#[test]
fn names_are_conventional() {
    let names: BTreeSet<_> = Family::ALL.iter().map(|it| it.name()).collect();
    assert_eq!(names.len(), Family::ALL.len());
    for name in names {
        assert!(
            name.bytes().all(|it| it.is_ascii_lowercase() || it == b'_'),
            "{name}"
        );
    }
}

/// The metrics of ours that a text names.
fn named(text: &str) -> BTreeSet<&str> {
    text.split(|it: char| !it.is_ascii_alphanumeric() && it != '_')
        .filter_map(|word| word.strip_prefix(PREFIX))
        // The names of backups begin so too.
        .filter(|name| name.starts_with(|it: char| it.is_ascii_lowercase()))
        .collect()
}

#[test]
fn rules_and_dashboard_name_what_is_written() {
    let names: BTreeSet<_> = Family::ALL.iter().map(|it| it.name()).collect();
    for text in [
        include_str!("../../../../k8s/components/monitoring/alerts.yaml"),
        include_str!("../../../../k8s/components/monitoring/alerts_test.yaml"),
        include_str!("../../../../k8s/components/monitoring/dashboard.json"),
    ] {
        let named = named(text);
        assert!(named.len() > 5, "{named:?}");
        let unknown: Vec<_> = named.difference(&names).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
    let page = include_str!("../../../../docs/verify.md");
    for family in Family::ALL {
        let row = format!("| `{PREFIX}{}` | {} |", family.name(), family.help().trim());
        assert!(page.contains(&row), "{row}");
    }
    let unknown: Vec<_> = named(page).difference(&names).copied().collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn a_series_is_never_there_twice() {
    let mut metrics = metrics();
    metrics.add(Family::CheckGrade, "check", "backup", 2.0);
    metrics.add(Family::CheckGrade, "check", "backup", 0.0);
    metrics.set(Family::Size, 1.0);
    metrics.set(Family::Size, 2.0);
    let lines = parse(&metrics.text());
    assert_eq!(lines.len(), 6, "{lines:?}");
}

#[test]
fn what_was_not_measured_stays() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("backup.prom");
    let mut first = metrics();
    first.set(Family::LastSuccess, 1000.0);
    first.set(Family::VerifySuccess, 1.0);
    first.add(Family::DatabaseSize, "database", "old\"\\\n", 5.0);
    first.clone().write(&file).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), first.text());

    let mut second = metrics();
    second.set(Family::VerifySuccess, 0.0);
    second.clone().write(&file).unwrap();
    let mut both = first.clone();
    both.set(Family::VerifySuccess, 0.0);
    assert_eq!(fs::read_to_string(&file).unwrap(), both.text());

    // A family is kept or replaced as a whole: a database that is gone is gone.
    second.add(Family::DatabaseSize, "database", "new", 6.0);
    second.clone().write(&file).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("old"), "{text}");

    // Another store's are not this one's.
    let mut other = Metrics::new("/backups2");
    other.set(Family::Size, 1.0);
    other.clone().write(&file).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), other.text());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn garbage_is_not_kept() {
    let mut metrics = metrics();
    metrics.keep(
        "# HELP x\npostgresql_backup_size_bytes{store=\"/backups\"} \n\u{0}\n\
         postgresql_backup_size_bytes{store=\"/backups\"} many\npostgresql_backup_size_bytes 5\n\
         postgresql_backup_odd{store=\"/backups\"} 5\n",
    );
    assert_eq!(metrics.text(), "");
}

#[test]
fn anybody_may_read_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("backup.prom");
    metrics().write(&file).unwrap();
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, MODE);
    let missing = directory.path().join("missing/backup.prom");
    let error = metrics().write(&missing).unwrap_err().to_string();
    assert!(error.contains("missing/backup.prom"), "{error}");
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        store in "(?s).{0,12}",
        names in proptest::collection::btree_set("(?s).{0,8}|[\"\\\\\n\r{}, =]{1,6}", 0..6),
        value in proptest::num::f64::ANY,
    ) {
        let mut metrics = Metrics::new(&store);
        metrics.set(Family::Size, value);
        for name in &names {
            metrics.add(Family::DatabaseSize, "database", name, value);
        }
        let lines = parse(&metrics.text());
        let mut wanted = vec![("store".to_owned(), store.clone())];
        let mut found = BTreeSet::new();
        for line in &lines {
            let Line::Sample { labels, value: it, .. } = line else { continue };
            prop_assert!(*it == value || (it.is_nan() && value.is_nan()));
            prop_assert_eq!(&labels[..1], &wanted[..]);
            found.extend(labels.get(1).map(|(_, name)| name.clone()));
        }
        prop_assert_eq!(&found, &names);
        wanted.clear();

        // And kept, all of it, by a run that measured nothing.
        let mut kept = Metrics::new(&store);
        kept.keep(&metrics.text());
        prop_assert_eq!(kept.text(), metrics.text());
    }
}

#[test]
fn on_a_terminal_a_name_does_nothing() {
    let mut metrics = Metrics::new("/backups?sig=abcdef");
    metrics.add(Family::DatabaseSize, "database", "a\x1b[31m\u{202e}\\", 1.0);
    let shown = metrics.shown();
    let labels = r#"{store="/backups?sig=***",database="a\\u{1b}[31m\\u{202e}\\"} 1"#;
    assert!(shown.contains(labels), "{shown}");
}
