//! One database out of ten: only its own part of the backup is read.

use e2e::{Azurite, Cluster, Program, Proxy, Scratch, backup, compare, sample};

const MIB: u64 = 1 << 20;

fn ten_databases() -> Cluster {
    let cluster = Cluster::start();
    for number in 0..10 {
        let name = format!("tenth {number}");
        cluster.sql("postgres", &format!("create database \"{name}\""));
        sample::bulk(&cluster, &name, "rows", 4 + number);
    }
    cluster
}

#[test]
fn only_its_part_is_asked_for() {
    let first = ten_databases();
    let dir = Scratch::new();
    let path = backup::dump(&first, dir.path());
    let text = backup::gunzip(&path);
    let sections = backup::sections(backup::divide(&text).1);
    let azurite = Azurite::shared();
    let container = azurite.container();
    let put = Program::new("blob-put")
        .arg(&path)
        .arg(format!("{}/", container.url()))
        .env("AZURE_STORAGE_SAS_TOKEN", container.token())
        .succeeds();
    assert!(put.out().contains(&container.url()), "{put}");
    let whole = path.metadata().unwrap().len();
    let second = Cluster::start();
    for (database, renamed) in [("tenth 3", None), ("tenth 9", Some("nine \"again\""))] {
        let section = sections.iter().find(|section| section.name == database);
        let share = section.unwrap().length;
        let proxy = Proxy::to(azurite.port());
        let name = path.file_name().unwrap().display();
        let mut restore = Program::new("restore-stream")
            .arg(format!("{}/{name}", container.url_at(proxy.port())))
            .args(["--database", database])
            .env("AZURE_STORAGE_SAS_TOKEN", container.token())
            .on(&second);
        if let Some(renamed) = renamed {
            restore = restore.args(["--as", renamed]);
        }
        restore.succeeds();
        compare::same_text(
            ("the database", &first.dump_one(database)),
            (
                "the restored one",
                &second.dump_one(renamed.unwrap_or(database)),
            ),
        );
        let asked = proxy.bytes_asked(".sql.gz");
        println!("{database}: {asked} bytes asked for, share {share}, whole {whole}");
        assert!(
            asked >= share && asked <= share + MIB,
            "{asked} for {share}"
        );
        // Or the test would show nothing.
        assert!(share + MIB < whole / 2);
    }
    let names = second.databases();
    assert_eq!(names, ["nine \"again\"", "postgres", "tenth 3"]);
}

#[test]
fn the_list_needs_only_the_end() {
    let first = ten_databases();
    let dir = Scratch::new();
    let path = backup::dump(&first, dir.path());
    let azurite = Azurite::shared();
    let container = azurite.container();
    container.write(
        &path.file_name().unwrap().to_string_lossy(),
        &std::fs::read(&path).unwrap(),
    );
    let proxy = Proxy::to(azurite.port());
    let listed = Program::new("restore-stream")
        .args([&container.url_at(proxy.port()), "--latest", "--list"])
        .env("AZURE_STORAGE_SAS_TOKEN", container.token())
        .succeeds();
    for number in 0..10 {
        assert!(
            listed.out().contains(&format!("tenth {number}")),
            "{listed}"
        );
    }
    assert!(
        proxy.bytes_asked(".sql.gz") <= MIB,
        "{:?}",
        proxy.requests()
    );
}
