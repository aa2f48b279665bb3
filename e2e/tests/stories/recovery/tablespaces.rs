//! A tablespace that was made after the base backup. A server that replays that writes into the directory that the WAL
//! names: beside its origin, it would overwrite that one's tables.

use e2e::{Version, WalStore};

use super::{Origin, numbers};

#[test]
fn a_tablespace_of_the_live_server_is_not_written_to() {
    for major in [14, 18] {
        let mut origin = Origin::new(Version::of(major), WalStore::directory(), "");
        origin.base();
        origin.write(1, 3);
        let fast = origin.cluster.server_dir("fast");
        let sql = format!("create tablespace fast location '{}'", fast.display());
        origin.cluster.sql("postgres", &sql);
        let fill = "create table t tablespace fast as select generate_series(1, 1000) a";
        origin.cluster.sql("postgres", fill);
        origin.write(4, 6);
        let all = origin.commits();
        let after = &all[4].1;
        // What the archive does not have yet.
        origin
            .cluster
            .sql("postgres", "insert into t select 1; checkpoint");
        for args in [
            "--at end --with-wal",
            &format!("--at '{after}Z' --with-wal"),
        ] {
            origin
                .refused(4, args)
                .says("creates a tablespace in '")
                .says("hint: name a moment before that");
        }
        // Without the WAL there, the server is told when it asks for it.
        let mut restored = origin.restored("--at end");
        let log = restored.recover().unwrap_err();
        assert!(log.contains("creates a tablespace in '"), "{log}");
        // A moment before it, in the same segment or not, comes back.
        let before = &all[1].1;
        let restored = origin.recovered(&format!("--at '{before}Z' --with-wal"));
        assert_eq!(numbers(&restored), [1, 2]);
        drop(restored);
        // The live server has its rows, on the disk too.
        origin.cluster.stop();
        origin.cluster.go();
        assert_eq!(
            origin.cluster.sql("postgres", "select count(*) from t"),
            "1001"
        );
        // Where the directory is nobody else's, it may be.
        origin.cluster.stop();
        let moved = fast.with_file_name("moved");
        std::fs::rename(&fast, &moved).unwrap();
        origin.cluster.server_dir("fast");
        for args in [
            "--at end --allow-tablespaces",
            "--at end --with-wal --allow-tablespaces",
        ] {
            std::fs::remove_dir_all(&fast).unwrap();
            origin.cluster.server_dir("fast");
            let restored = origin.recovered(args);
            assert_eq!(restored.sql("postgres", "select count(*) from t"), "1000");
        }
    }
}
