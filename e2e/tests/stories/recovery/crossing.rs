//! Records that begin in one segment and go on in the next: nearly every segment ends within one.

use e2e::{Cluster, Program, Version, WalStore};

use super::{Origin, numbers, until};

/// Fills the WAL up to so many bytes before the end of a segment, so that the next record begins there. The length of a
/// message of 304 bytes is measured: that of one which is a multiple of 8 bytes longer is known then.
const FILL: &str = "
create function fill(before int) returns int language plpgsql as $$
declare
    size constant int := 1048576;
    room int;
    own int;
begin
    loop
        room := size - ((pg_current_wal_insert_lsn() - '0/0') % size)::int;
        exit when room = before;
        if room > 6000 then
            perform pg_logical_emit_message(false, '', repeat('x', least(room - 4000, 100000)));
        else
            perform pg_logical_emit_message(false, '', repeat('x', 304));
            own := room - (size - ((pg_current_wal_insert_lsn() - '0/0') % size)::int);
            room := room - own;
            perform pg_logical_emit_message(false, '', repeat('x', greatest(304 + room - before - own, 304)));
        end if;
    end loop;
    return before;
end $$";

/// The places of the tablespaces' creations in the segment that a place is in, as pg_waldump has them (`0/301FFF8`).
fn creations(cluster: &Cluster, lsn: &str) -> Vec<String> {
    let name = cluster.sql("postgres", &format!("select pg_walfile_name('{lsn}')"));
    let seen = Program::other(cluster.version().bin().join("pg_waldump"))
        .args(["--rmgr", "Tablespace"])
        .arg(cluster.data().join("pg_wal").join(name))
        .run();
    let out = seen.out();
    let lines = out.lines().filter(|line| line.contains("CREATE"));
    let lsn = |line: &str| Some(line.split("lsn: ").nth(1)?.split(',').next()?.to_owned());
    lines.filter_map(lsn).collect()
}

#[test]
fn what_crosses_the_end_of_a_segment_is_seen() {
    for (store, major) in WalStore::both().into_iter().zip([14, 18]) {
        let origin = Origin::new(Version::of(major), store, "");
        let ask = |sql: &str| origin.cluster.sql("postgres", sql);
        ask(FILL);
        origin.base();
        origin.write(1, 5);
        // Its commit's record begins just before the end of a segment, the header within it or not.
        ask("begin; insert into commits values (6); select fill(24); commit");
        ask("begin; insert into commits values (7); select fill(8); commit");
        ask("select fill(16), pg_create_restore_point('crossing')");
        origin.write(8, 10);
        let all = origin.commits();
        for last in [5, 6, 7] {
            let moment = &all[last - 1].1;
            for with_wal in ["", " --with-wal"] {
                let restored = origin.recovered(&format!("--at '{moment}Z'{with_wal}"));
                assert_eq!(numbers(&restored), until(&all, moment), "{with_wal}");
                assert_eq!(numbers(&restored).len(), last);
            }
        }
        let restored = origin.recovered("--target name:crossing");
        assert_eq!(numbers(&restored).len(), 7);
        drop(restored);

        // How far into it the record of a creation is; one within the data directory is nobody's.
        ask("set allow_in_place_tablespaces = on; create tablespace first location ''");
        let before = ask("select pg_current_wal_insert_lsn()");
        ask("set allow_in_place_tablespaces = on; create tablespace next location ''");
        let both = creations(&origin.cluster, &before);
        let at = both.last().unwrap();
        let far = ask(&format!("select '{at}'::pg_lsn - '{before}'"));
        let far: usize = far.parse().unwrap();
        let place = origin.cluster.server_dir("fast");
        ask(&format!("select fill({})", far + 16));
        let create = format!("create tablespace fast location '{}'", place.display());
        ask(&create);
        origin.write(11, 12);
        assert_eq!(ask("select count(*) from pg_tablespace"), "5");
        // pg_waldump needs the next segment for it too.
        assert_eq!(creations(&origin.cluster, &before), both);
        origin
            .refused(4, "--at end --with-wal")
            .says("creates a tablespace in '");
        let mut restored = origin.restored("--at end");
        let log = restored.recover().unwrap_err();
        assert!(log.contains("creates a tablespace in '"), "{log}");
        // The moment before it comes back.
        let moment = &origin.commits()[9].1;
        let restored = origin.recovered(&format!("--at '{moment}Z' --with-wal"));
        assert_eq!(numbers(&restored).len(), 10);
    }
}
