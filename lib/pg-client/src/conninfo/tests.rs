use super::*;

fn with(text: &str) -> PgText {
    Conninfo::parse(text).unwrap().with_database("a'b\\c d=e")
}

#[test]
fn the_environment_alone() {
    assert_eq!(Conninfo::default().with_database("x"), "dbname='x'");
}

#[test]
fn any_form_leads_to_any_database() {
    let name = r"dbname='a\'b\\c d=e'";
    assert_eq!(with("mydb"), name);
    assert_eq!(
        with("host=/tmp/x port = 5433 dbname=y"),
        format!("host='/tmp/x' port='5433' {name}")
    );
    assert_eq!(
        with(r"user='o\'b\\x' dbname=''"),
        format!(r"user='o\'b\\x' {name}")
    );
    assert_eq!(with(r"user=a\ b"), format!("user='a b' {name}"));
    assert_eq!(
        with("postgresql://me:pw@h1:1,[::1]:2/db?sslmode=require&ssl=true"),
        format!("user='me' host='h1,::1' port='1,2' sslmode='require' sslmode='require' {name}")
    );
    assert_eq!(
        with("postgres:///db?host=%2Fvar%2Frun"),
        format!("host='/var/run' {name}")
    );
    assert_eq!(with("postgres://"), name);
    assert_eq!(
        with("postgresql://h?application_name=a%20b"),
        format!("host='h' application_name='a b' {name}")
    );
}

#[test]
fn a_name_of_ours_is_the_only_one() {
    let conninfo = Conninfo::parse("host=h application_name=theirs").unwrap();
    assert_eq!(
        conninfo.named("ours").with_database("x"),
        "host='h' application_name='ours' dbname='x'"
    );
}

#[test]
fn its_own_database() {
    for text in [
        "x y",
        "dbname='x y' host=h",
        "postgresql://h/x%20y",
        "postgresql://h?dbname=x%20y",
    ] {
        assert_eq!(
            Conninfo::parse(text).unwrap().database(),
            Some(&"x y".into()),
            "{text}"
        );
    }
    assert_eq!(Conninfo::parse("postgresql://h").unwrap().database(), None);
}

#[test]
fn a_password_goes_by_the_environment() {
    for text in [
        "user=me password=s3cret",
        "password = 's3cret'",
        "postgresql://me:s3cret@h/db",
        "postgresql://me:s3%63ret@h/db",
        "postgresql://h/db?password=s3cret",
        // As a secret's file may have it.
        "\n postgres://me:s3cret@h/db\n",
        " postgres://me:s3cret@h/db?sslmode=disable\n",
    ] {
        let conninfo = Conninfo::parse(text).unwrap();
        let mut command = Command::new("psql");
        conninfo.apply(&mut command, Some(b"x"));
        let shown = format!(
            "{conninfo:?} {} {:?}",
            conninfo.with_database("x"),
            command.get_args()
        );
        assert!(!shown.contains("s3cret"), "{shown}");
        let environment: Vec<_> = command.get_envs().collect();
        assert!(
            environment.contains(&("PGPASSWORD".as_ref(), Some("s3cret".as_ref()))),
            "{text}"
        );
    }
}

#[test]
fn what_cannot_be_read_is_said_without_the_password() {
    for (text, words) in [
        ("password=s3cret s3cret2", "no '='"),
        ("password=s3cret s3cret2 host=x", "no '='"),
        ("password='s3cret", "closing"),
        ("postgresql://me:s3cret%zz@h", "password"),
        ("postgresql://me:s3cret@[::1", "IPv6"),
        ("postgresql://me:s3cret@h?x", "'='"),
        ("sslpassword=s3cret", "sslpassword"),
        ("PASSWORD=s3cret", "PASSWORD"),
        ("host=h pgpasswd=s3cret", "pgpasswd"),
        ("postgresql://h?sslpassword=s3cret", "sslpassword"),
        ("postgresql://h/%00", "dbname"),
        ("postgresql://h/%+1", "dbname"),
        ("postgresql://h/%é", "dbname"),
        // Put together again, the last of these would be a URI that leads elsewhere.
        ("Postgres://me:s3cret@h/db?sslmode=disable", "keyword"),
        ("x postgres://me:s3cret@h/db?a=b", "no '='"),
        ("x=1 postgres://me:s3cret@h/db?a=b", "keyword"),
        ("postgresql://h/db?a%20b=c", "keyword"),
        ("postgresql://h/db?=c", "keyword"),
    ] {
        let error = Conninfo::parse(text).unwrap_err();
        assert!(error.to_string().contains(words), "{text}: {error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
        assert_eq!(error.kind(), ErrorKind::Usage);
    }
}

#[test]
fn on_a_socket_of_one_s_own_the_environment_has_no_say() {
    let mut command = Command::new("psql");
    Conninfo::socket("/tmp/a b", &"o'b".into()).lead(&mut command, Some(b"x"));
    let told: Vec<_> = command.get_args().collect();
    assert_eq!(told, [r"--dbname=host='/tmp/a b' user='o\'b' dbname='x'"]);
    let gone = |name: &str| command.get_envs().any(|it| it == (name.as_ref(), None));
    assert!(gone("PGHOSTADDR") && gone("PGSERVICE") && gone("PGPASSWORD"));
}

#[test]
fn sessions_begin_with_settings() {
    let options = |conninfo: Conninfo| {
        let command = conninfo.command("psql", Some(b"x"));
        let mut found = command.get_envs().filter(|it| it.0 == "PGOPTIONS");
        found.next().and_then(|it| Some(it.1?.to_owned()))
    };
    let socket = Conninfo::socket("/tmp", &"me".into());
    assert_eq!(options(socket.clone()), None);
    let settings = [("search_path", r"a\ b".into()), ("role", "none".into())];
    assert_eq!(
        options(socket.with_settings(&settings)),
        Some(r" -c search_path=a\\\ b -c role=none".into())
    );
    let named = Conninfo::parse("options='-c role=x' host=h").unwrap();
    let named = named.with_settings(&settings[1..]);
    assert_eq!(
        named.with_database("x"),
        "options='-c role=x -c role=none' host='h' dbname='x'"
    );
    assert_eq!(options(named), None);
}

#[test]
fn an_environment_needs_no_argument() {
    let mut command = Command::new("psql");
    Conninfo::default().lead(&mut command, None);
    assert_eq!(command.get_args().count(), 0);
}

#[test]
fn names_are_bytes() {
    let name = PgText::from(&b"gr\xf6\xdfe"[..]);
    for text in [
        &b"gr\xf6\xdfe"[..],
        b"host=h dbname=gr\xf6\xdfe",
        b"dbname='gr\xf6\\\xdfe' host=h",
        b"postgresql://h/gr\xf6%DFe",
    ] {
        let conninfo = Conninfo::parse(OsStr::from_bytes(text)).unwrap();
        assert_eq!(conninfo.database(), Some(&name), "{name}");
        let mut command = Command::new("psql");
        conninfo.lead(&mut command, None);
        let given = command.get_args().next().unwrap().as_bytes().to_vec();
        assert!(given.ends_with(b"dbname='gr\xf6\xdfe'"), "{given:?}");
    }
}

#[test]
fn the_server_hands_on_the_bytes_that_it_has() {
    for text in ["client_encoding=UTF8 host=h", "host=h"] {
        let mut command = Command::new("psql");
        Conninfo::parse(text).unwrap().apply(&mut command, None);
        let told: Vec<_> = command.get_args().collect();
        assert_eq!(
            told,
            [
                "--dbname=host='h' client_encoding='SQL_ASCII'",
                "--no-password"
            ]
        );
    }
}
