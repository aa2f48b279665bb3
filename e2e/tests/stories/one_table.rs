//! One table out of a database: into a new database, into the live one beside what is there, or to a command. Only its own
//! rows are read.

use std::fs;
use std::path::PathBuf;

use backup_file::{SectionKind, Tail, read_map, read_tail};
use e2e::{Azurite, Bytes, Cluster, Program, Proxy, Scratch, Seen, backup, sample};

const MIB: u64 = 1 << 20;

/// What was asked for most, and what could be taken for something else.
const SHOP: &str = r#"
create database shop;
\connect shop
create schema other;
create table users (id serial primary key, name text not null, unique (name));
insert into users (name) select E'user \\.\n' || i from generate_series(1, 2000) i;
create table orders (id integer primary key, buyer integer references users, what text);
insert into orders select i, 1 + i % 2000, E'COPY public.users (id, name) FROM stdin;\n\\connect postgres\n-- Data for Name: x' from generate_series(1, 5000) i;
create index on orders (buyer);
create table other.users (id integer primary key, name text);
insert into other.users select i, 'another ' || i from generate_series(1, 30) i;
create table "select" ("from" text, "Odd.one" integer);
insert into "select" values ('x', 1), (null, 2);
create table "two
lines" (a integer);
insert into "two
lines" values (1), (2), (3);
create table parts (id integer primary key, buyer integer references users) partition by range (id);
create table parts_low partition of parts for values from (0) to (100);
create table parts_high partition of parts for values from (100) to (10000) partition by range (id);
create table parts_higher partition of parts_high for values from (100) to (10000);
insert into parts select i, 1 + i % 2000 from generate_series(1, 700) i;
create table needs_parts (id integer primary key references parts);
insert into needs_parts select i from generate_series(50, 150) i;
create materialized view buyers as select buyer, count(*) from orders group by buyer;
create function f() returns text language sql as $$ select 'COPY public.users (id) FROM stdin;' $$;
comment on constraint orders_buyer_fkey on orders is 'who';
select lo_from_bytea(4711, 'a large object');
create table big (id integer, filler text);
insert into big select i, md5(i::text) || md5((i * 7)::text) from generate_series(1, 200000) i;
"#;

struct Ground {
    cluster: Cluster,
    dir: Scratch,
    path: PathBuf,
}

impl Ground {
    fn new() -> Self {
        let cluster = Cluster::start();
        sample::load(&cluster, SHOP);
        let dir = Scratch::new();
        let path = backup::dump(&cluster, dir.path());
        Self { cluster, dir, path }
    }

    fn restore(&self, options: &[&str]) -> Program {
        Program::new("restore-stream")
            .arg(&self.path)
            .args(["--database", "shop"])
            .args(options)
            .on(&self.cluster)
    }

    /// How many rows each table has.
    fn rows(&self, database: &str) -> String {
        let count = |name: &str| {
            let sql = format!("select count(*) from only {name}");
            format!("{name} {}", self.cluster.sql(database, &sql).trim())
        };
        let names = [
            "users",
            "other.users",
            "orders",
            "parts_low",
            "parts_higher",
            "needs_parts",
            "\"select\"",
            "\"two\nlines\"",
        ];
        names.map(count).join(", ").replace('\n', " ")
    }

    /// A database's definitions.
    fn schema(&self, database: &str) -> String {
        let args = ["--schema-only", "--restrict-key=x", "--dbname", database];
        let seen = Program::other(self.cluster.version().bin().join("pg_dump"))
            .on(&self.cluster)
            .args(args)
            .succeeds();
        seen.out()
    }

    fn drop(&self, database: &str) {
        let sql = format!("drop database \"{database}\"");
        self.cluster.sql("postgres", &sql);
    }
}

#[test]
fn into_a_new_database() {
    let ground = Ground::new();
    let whole = ground.schema("shop");
    let tables = |options: &[&str]| -> (Seen, String, String) {
        let seen = ground
            .restore(&[&["--as", "part"], options].concat())
            .succeeds();
        let (rows, schema) = (ground.rows("part"), ground.schema("part"));
        ground.drop("part");
        (seen, rows, schema)
    };
    // All is there but the rows of others, and what would need them.
    let (seen, rows, schema) = tables(&["--table", "orders", "--table", "\"two\nlines\""]);
    assert_eq!(
        rows,
        "users 0, other.users 0, orders 5000, parts_low 0, parts_higher 0, needs_parts 0, \"select\" 0, \"two lines\" 3"
    );
    seen.says("foreign key 'orders_buyer_fkey' of 'public.orders'");
    seen.says("not all rows of 'public.users' are restored");
    let lines = |schema: &str| -> Vec<String> { schema.lines().map(str::to_owned).collect() };
    let without: Vec<String> = lines(&whole)
        .into_iter()
        .filter(|line| {
            !line.contains("orders_buyer_fkey") && !line.contains("ALTER TABLE ONLY public.orders")
        })
        .collect();
    let found: Vec<String> = lines(&schema)
        .into_iter()
        .filter(|line| !line.contains("ALTER TABLE ONLY public.orders"))
        .collect();
    let differs = without
        .iter()
        .filter(|line| !found.contains(line))
        .collect::<Vec<_>>();
    assert!(differs.is_empty(), "{differs:?}");
    // Where no foreign key lacks its rows, the definitions are the same to the byte.
    let (_, rows, schema) = tables(&["--table", "*.users"]);
    assert!(
        rows.starts_with("users 2000, other.users 30, orders 0,"),
        "{rows}"
    );
    assert_eq!(schema, whole);
    // A partitioned table stands for its partitions, on all levels.
    let (seen, rows, _) = tables(&[
        "--table",
        "public.parts",
        "--table",
        "needs_parts",
        "--table",
        "\"select\"",
    ]);
    assert!(
        rows.contains("parts_low 99, parts_higher 601, needs_parts 101, \"select\" 2"),
        "{rows}"
    );
    seen.says("'parts_buyer_fkey' of 'public.parts'");
    seen.hides("needs_parts_id_fkey");
    let (seen, rows, _) = tables(&["--table", "parts_low", "--table", "needs_parts"]);
    assert!(
        rows.contains("parts_low 99, parts_higher 0, needs_parts 101"),
        "{rows}"
    );
    seen.says("'needs_parts_id_fkey' of 'public.needs_parts'");
    // The other way round.
    let (_, rows, schema) = tables(&["--schema-only"]);
    assert!(
        !rows.contains(|it: char| it.is_ascii_digit() && it != '0'),
        "{rows}"
    );
    assert_eq!(schema, whole);
    let (_, rows, schema) = tables(&["--exclude-table-data", "public.orders"]);
    assert_eq!(rows, ground.rows("shop").replace("orders 5000", "orders 0"));
    assert_eq!(schema, whole);
    // What is not there is not begun.
    let before = ground.cluster.databases();
    let seen = ground
        .restore(&["--as", "part", "--table", "user"])
        .fails(1);
    seen.says("there is no table 'user' in database 'shop' of the backup");
    seen.says("'public.users'");
    assert_eq!(ground.cluster.databases(), before);
}

#[test]
fn into_the_live_database() {
    let ground = Ground::new();
    let (cluster, before) = (&ground.cluster, ground.schema("shop"));
    cluster.sql("shop", "delete from needs_parts; delete from users where id > 1500 and id not in (select buyer from orders)");
    cluster.sql("shop", "update \"select\" set \"from\" = 'changed'");
    let into = |table: &str, new: &str| ground.restore(&["--table", table, "--into-table", new]);
    let same = |one: &str, other: &str| {
        let sql = format!(
            "select count(*) from ((table {one} except all table {other}) union all (table {other} except all table {one})) as it"
        );
        cluster.sql("shop", &sql).trim().to_owned()
    };
    into("needs_parts", "\"Needs; before\"").succeeds();
    assert_eq!(
        cluster
            .sql("shop", "select count(*) from \"Needs; before\"")
            .trim(),
        "101"
    );
    into("other.users", "again").succeeds();
    assert_eq!(same("other.again", "other.users"), "0");
    into("parts", "public.all_parts").succeeds();
    assert_eq!(same("public.all_parts", "parts"), "0");
    into("\"select\"", "before").succeeds();
    assert_eq!(
        cluster
            .sql("shop", "select \"from\" from before where \"Odd.one\" = 1")
            .trim(),
        "x"
    );
    for table in [
        "public.\"Needs; before\"",
        "other.again",
        "all_parts",
        "before",
    ] {
        cluster.sql("shop", &format!("drop table {table}"));
    }
    assert_eq!(ground.schema("shop"), before);
    // What is there stays as it is, and what was begun is gone.
    into("users", "again")
        .fails(2)
        .says("'other.users', 'public.users'");
    let seen = into("public.users", "orders").fails(1);
    seen.says("already exists");
    let section = section(&ground.path);
    let mut bytes = fs::read(&ground.path).unwrap();
    bytes[usize::try_from(section.rows_of_orders).unwrap()] ^= 1;
    let damaged = ground.dir.write("damaged.sql.gz", bytes);
    let seen = Program::new("restore-stream")
        .arg(damaged)
        .args([
            "--database",
            "shop",
            "--table",
            "orders",
            "--into-table",
            "before",
        ])
        .on(cluster)
        .fails(3);
    seen.says("is damaged");
    assert_eq!(ground.schema("shop"), before);
}

struct Places {
    rows_of_orders: u64,
    /// The bytes of the file that hold the map, and all SQL but the rows of `big`.
    all_but_big: u64,
}

fn section(path: &PathBuf) -> Places {
    let file = Bytes::of(path);
    let Ok(Tail::Index(index)) = read_tail(&file) else {
        unreachable!("no index");
    };
    let section = index.database("shop").unwrap();
    let globals = index
        .sections
        .iter()
        .find(|it| it.kind == SectionKind::Globals);
    let map = read_map(&file, section).unwrap().unwrap();
    let block = |name: &str| {
        let mut copies = map.layout.copies.iter();
        copies.find(|it| it.table == *name).unwrap()
    };
    let orders = block("public.orders");
    let big = map.span(block("public.big").sql.clone()).unwrap().file();
    let size = section.length - (big.end - big.start);
    Places {
        rows_of_orders: map
            .span(orders.data + 100_000..orders.sql.end)
            .unwrap()
            .file()
            .start
            + 50_000,
        all_but_big: size + section.map.unwrap().length + globals.unwrap().length,
    }
}

#[test]
fn to_a_command_and_from_a_store() {
    let ground = Ground::new();
    let seen = Program::new("restore-stream")
        .arg(&ground.path)
        .args(["--database", "shop", "--table", "\"select\"", "--", "cat"])
        .succeeds();
    assert_eq!(
        seen.out(),
        "COPY public.\"select\" (\"from\", \"Odd.one\") FROM stdin;\nx\t1\n\\N\t2\n\\."
    );
    let rows = |table: &str| {
        let seen = Program::new("restore-stream")
            .arg(&ground.path)
            .args(["--database", "shop", "--table", table, "--", "cat"])
            .succeeds();
        seen.out().lines().count()
    };
    // Two lines around the rows of each.
    assert_eq!(rows("public.users"), 2002);
    assert_eq!(rows("parts"), 99 + 601 + 4);
    let seen = Program::new("restore-stream")
        .arg(&ground.path)
        .args(["--database", "shop", "--table", "userz", "--", "cat"])
        .fails(1);
    seen.says("'public.users'");

    let azurite = Azurite::shared();
    let container = azurite.container();
    let name = ground.path.file_name().unwrap().to_string_lossy();
    container.write(&name, &fs::read(&ground.path).unwrap());
    let proxy = Proxy::to(azurite.port());
    Program::new("restore-stream")
        .arg(format!("{}/{name}", container.url_at(proxy.port())))
        .args(["--database", "shop", "--as", "part", "--table", "orders"])
        .env("AZURE_STORAGE_SAS_TOKEN", container.token())
        .on(&ground.cluster)
        .succeeds();
    let asked = proxy.bytes_asked(".sql.gz");
    let most = section(&ground.path).all_but_big + MIB;
    println!(
        "{asked} bytes asked for, {most} allowed, of {}",
        ground.path.metadata().unwrap().len()
    );
    assert!(asked <= most, "{asked}, {most}");
    // Or the test would show nothing.
    assert!(most < ground.path.metadata().unwrap().len() / 2);
}

/// A backup without a map is read through.
#[test]
fn without_a_map() {
    let ground = Ground::new();
    let text = backup::gunzip(&ground.path);
    let plain = ground.dir.write("plain.sql", backup::divide(&text).0);
    Program::other("gzip").arg(&plain).succeeds();
    let seen = Program::new("restore-stream")
        .arg(ground.dir.join("plain.sql.gz"))
        .args([
            "--database",
            "shop",
            "--as",
            "part",
            "--table",
            "public.users",
        ])
        .on(&ground.cluster)
        .succeeds();
    assert!(
        ground
            .rows("part")
            .starts_with("users 2000, other.users 0, orders 0,"),
        "{seen}"
    );
    let seen = Program::new("restore-stream")
        .arg(ground.dir.join("plain.sql.gz"))
        .args(["--database", "shop", "--as", "no", "--table", "nobody"])
        .on(&ground.cluster)
        .fails(1);
    seen.says("there is no table 'nobody'");
    assert_eq!(ground.cluster.databases(), ["part", "postgres", "shop"]);
}
