use proptest::collection::btree_map;
use proptest::prelude::*;

use super::*;

fn now() -> DateTime<Utc> {
    utc("2025-11-23T03:00:00Z")
}

fn utc(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

fn candidate(started: &str, soundness: Soundness) -> Candidate {
    let name = BackupName::new(utc(started));
    Candidate { name, soundness }
}

/// One backup at two o'clock each day, today's last.
fn daily(days: i64) -> Vec<Candidate> {
    (0..days)
        .rev()
        .map(|back| Candidate {
            name: BackupName::new(utc("2025-11-23T02:00:00Z") - TimeDelta::days(back)),
            soundness: Soundness::Good,
        })
        .collect()
}

fn kept(backups: &[Candidate], policy: &Policy) -> Vec<String> {
    decide(backups, now(), policy)
        .iter()
        .filter(|decision| decision.keeps())
        .map(|decision| decision.name.started().format("%m-%d").to_string())
        .collect()
}

fn policy(days: u32, min: u32, weekly: u32, monthly: u32) -> Policy {
    Policy {
        days,
        min,
        weekly,
        monthly,
    }
}

#[test]
fn days_are_counted_to_the_second() {
    let backups = [
        candidate("2025-11-16T02:59:59Z", Soundness::Good),
        candidate("2025-11-16T03:00:00Z", Soundness::Good),
        candidate("2025-11-23T02:00:00Z", Soundness::Good),
    ];
    let decisions = decide(&backups, now(), &policy(7, 0, 0, 0));
    let keeps: Vec<bool> = decisions.iter().map(Decision::keeps).collect();
    assert_eq!(keeps, [false, true, true]);
    assert!(decisions[1].kept_by.contains(&Rule::Young(7)));
}

#[test]
fn a_minimum_outlives_its_days() {
    assert_eq!(kept(&daily(10), &policy(2, 4, 0, 0)).len(), 4);
    assert_eq!(kept(&daily(3), &policy(2, 4, 0, 0)).len(), 3);
}

#[test]
fn a_minimum_is_of_good_ones() {
    let mut backups = daily(6);
    backups[5].soundness = Soundness::Bad;
    backups[3].soundness = Soundness::Bad;
    // Today's stays although it is bad: somebody may want to see why. The 21st goes.
    assert_eq!(
        kept(&backups, &policy(0, 2, 0, 0)),
        ["11-20", "11-22", "11-23"]
    );
}

#[test]
fn the_last_of_weeks_and_months_stay() {
    // 2025-11-23 is a Sunday.
    assert_eq!(
        kept(&daily(100), &policy(2, 0, 3, 3)),
        ["09-30", "10-31", "11-09", "11-16", "11-22", "11-23"]
    );
}

#[test]
fn weeks_are_those_of_iso_8601() {
    let backups = [
        candidate("2024-12-29T02:00:00Z", Soundness::Good),
        candidate("2024-12-30T02:00:00Z", Soundness::Good),
        candidate("2025-01-05T02:00:00Z", Soundness::Good),
    ];
    let decisions = decide(&backups, now(), &policy(0, 0, 5, 0));
    let keeps: Vec<bool> = decisions.iter().map(Decision::keeps).collect();
    assert_eq!(
        keeps,
        [true, false, true],
        "30 December belongs to 2025-W01"
    );
    assert!(decisions[0].kept_by.contains(&Rule::Week {
        year: 2024,
        week: 52
    }));
}

#[test]
fn what_is_dated_in_the_future_stays_and_counts_for_nothing() {
    let backups = [
        candidate("2025-11-01T02:00:00Z", Soundness::Good),
        candidate("2025-11-02T02:00:00Z", Soundness::Good),
        candidate("2099-01-01T00:00:00Z", Soundness::Good),
    ];
    let decisions = decide(&backups, now(), &policy(7, 1, 0, 0));
    let keeps: Vec<bool> = decisions.iter().map(Decision::keeps).collect();
    assert_eq!(keeps, [false, true, true]);
    assert_eq!(decisions[2].kept_by, BTreeSet::from([Rule::Future]));
    assert_eq!(newest(&backups, now()), Some(backups[1].name));
}

#[test]
fn a_clock_that_is_a_little_ahead_does_no_harm() {
    let backups = [candidate("2025-11-23T03:00:30Z", Soundness::Good)];
    assert_eq!(newest(&backups, now()), Some(backups[0].name));
    assert!(
        decide(&backups, now(), &policy(1, 0, 0, 0))[0]
            .kept_by
            .contains(&Rule::Young(1))
    );
}

#[test]
fn a_policy_that_keeps_nothing_of_what_is_there_is_told() {
    let old = [
        candidate("2025-01-01T02:00:00Z", Soundness::Good),
        candidate("2025-01-02T02:00:00Z", Soundness::Good),
    ];
    let everything = |policy| deletes_everything(&decide(&old, now(), &policy));
    assert!(everything(policy(7, 0, 0, 0)));
    assert!(!everything(policy(7, 1, 0, 0)));
    assert!(!everything(policy(0, 0, 1, 0)));
    // There is nothing to delete.
    assert!(!deletes_everything(&decide(
        &old[..1],
        now(),
        &policy(7, 0, 0, 0)
    )));
    assert!(!deletes_everything(&[]));
}

#[test]
fn a_year_of_nights_leaves_what_the_policy_says() {
    let policy = policy(7, 3, 4, 12);
    let mut backups: Vec<Candidate> = Vec::new();
    for night in 0..800 {
        let started = utc("2024-01-01T02:00:00Z") + TimeDelta::days(night);
        let name = BackupName::new(started);
        let soundness = Soundness::Good;
        backups.push(Candidate { name, soundness });
        let decisions = decide(&backups, started + TimeDelta::hours(1), &policy);
        let mut decisions = decisions.iter();
        backups.retain(|_| decisions.next().is_some_and(Decision::keeps));
    }
    // Seven days and the day itself, three more weeks at most, eleven more months at most.
    assert!((18..=22).contains(&backups.len()), "{}", backups.len());
    let oldest = backups[0].name.started();
    assert_eq!(oldest.to_rfc3339(), "2025-04-30T02:00:00+00:00");
}

fn states() -> impl Strategy<Value = Soundness> {
    prop_oneof![
        2 => Just(Soundness::Unread),
        3 => Just(Soundness::Good),
        1 => Just(Soundness::Unknown),
        1 => Just(Soundness::Bad),
    ]
}

/// Any backups, within two years before now and some days after.
fn stores() -> impl Strategy<Value = Vec<Candidate>> {
    btree_map(-400_000i64..63_000_000, states(), 0..60).prop_map(|ages| {
        let backup = |(age, soundness)| Candidate {
            name: BackupName::new(now() - TimeDelta::seconds(age)),
            soundness,
        };
        ages.into_iter().map(backup).collect()
    })
}

fn policies() -> impl Strategy<Value = Policy> {
    (0u32..400, 0u32..10, 0u32..10, 0u32..10)
        .prop_map(|(days, min, weekly, monthly)| policy(days, min, weekly, monthly))
}

fn find(backups: &[Candidate], name: BackupName) -> Soundness {
    backups.iter().find(|it| it.name == name).unwrap().soundness
}

proptest! {
    #[test]
    fn each_is_decided_about_once(backups in stores(), policy in policies()) {
        let decisions = decide(&backups, now(), &policy);
        let mut names: Vec<BackupName> = backups.iter().map(|it| it.name).collect();
        names.sort();
        prop_assert_eq!(decisions.iter().map(|it| it.name).collect::<Vec<_>>(), names);
    }

    #[test]
    fn what_goes_is_old_and_not_the_newest(backups in stores(), policy in policies()) {
        let decisions = decide(&backups, now(), &policy);
        let past = |soundness: fn(Soundness) -> bool| {
            backups
                .iter()
                .filter(|it| soundness(it.soundness) && it.name.started() <= now())
                .map(|it| it.name)
                .max()
        };
        for gone in decisions.iter().filter(|it| !it.keeps()) {
            prop_assert!(now() - gone.name.started() > TimeDelta::days(policy.days.into()));
            prop_assert!(Some(gone.name) < past(|_| true));
            prop_assert!(Some(gone.name) != past(|it| it == Soundness::Good || it == Soundness::Unread));
        }
    }

    #[test]
    fn a_good_one_is_left_where_there_was_one(mut backups in stores(), policy in policies()) {
        // As the survey does: what is relied on is looked at, until nothing is that has not been.
        let truth = backups.clone();
        for backup in &mut backups {
            backup.soundness = Soundness::Unread;
        }
        let decisions = loop {
            let decisions = decide(&backups, now(), &policy);
            let mut looked = false;
            for decision in decisions.iter().filter(|it| it.is_relied_on()) {
                let backup = backups.iter_mut().find(|it| it.name == decision.name).unwrap();
                if backup.soundness == Soundness::Unread {
                    backup.soundness = match find(&truth, decision.name) {
                        Soundness::Unread => Soundness::Good,
                        known => known,
                    };
                    looked = true;
                }
            }
            if !looked {
                break decisions;
            }
        };
        let good = |name| matches!(find(&truth, name), Soundness::Good | Soundness::Unread);
        let was = truth.iter().filter(|it| it.name.started() <= now()).any(|it| good(it.name));
        let is = decisions.iter().any(|it| it.keeps() && it.name.started() <= now() && good(it.name));
        prop_assert_eq!(was, is);

        let usable = |name| find(&truth, name) != Soundness::Bad;
        let were = truth.iter().filter(|it| usable(it.name)).count();
        let are = decisions.iter().filter(|it| it.keeps() && usable(it.name)).count();
        prop_assert!(are >= were.min(policy.min as usize));
    }

    #[test]
    fn a_second_prune_deletes_nothing(backups in stores(), policy in policies()) {
        let keeps = |backups: &[Candidate]| -> Vec<Candidate> {
            decide(backups, now(), &policy)
                .into_iter()
                .filter(Decision::keeps)
                .map(|it| Candidate { name: it.name, soundness: find(backups, it.name) })
                .collect()
        };
        let left = keeps(&backups);
        prop_assert_eq!(keeps(&left), left);
    }

    #[test]
    fn a_wider_policy_keeps_no_less(backups in stores(), narrow in policies(), more in policies()) {
        let wide = policy(
            narrow.days + more.days,
            narrow.min + more.min,
            narrow.weekly + more.weekly,
            narrow.monthly + more.monthly,
        );
        let narrow = decide(&backups, now(), &narrow);
        let wide = decide(&backups, now(), &wide);
        for (narrow, wide) in narrow.iter().zip(&wide) {
            prop_assert!(wide.keeps() || !narrow.keeps());
        }
    }

    #[test]
    fn the_order_they_come_in_is_nothing(mut backups in stores(), policy in policies()) {
        let decisions = decide(&backups, now(), &policy);
        backups.reverse();
        prop_assert_eq!(decide(&backups, now(), &policy), decisions);
    }
}
