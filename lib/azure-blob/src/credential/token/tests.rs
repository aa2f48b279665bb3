use proptest::prelude::*;

use super::*;

const PLAIN: &str =
    "sv=2023-11-03&st=2025-01-01&se=2026-01-01T00%3A00Z&sr=c&sp=cw&spr=https&sig=ab%2Bcd%3D";

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

fn container() -> ContainerUrl {
    let (url, _) = ContainerUrl::parse("https://acc.blob.core.windows.net/backups").unwrap();
    url
}

/// What it lacks, or why it is not valid at `now`.
fn check(token: &str, needs: &[Permission], now: &str) -> Result<(), String> {
    let token = Token::parse(token).unwrap();
    let checked = token.check(needs, &container());
    checked.map_err(|error| error.to_string())?;
    token
        .not_valid_at(at(now))
        .map_or(Ok(()), |it| Err(it.said))
}

#[test]
fn what_surrounds_a_token_does_not_matter() {
    let plain = Token::parse(PLAIN).unwrap();
    for text in [
        format!("?{PLAIN}"),
        format!(" {PLAIN}\n"),
        format!("\"{PLAIN}\"\r\n"),
        format!("https://acc.blob.core.windows.net/backups?{PLAIN}"),
        format!("SharedAccessSignature={PLAIN}"),
        format!("BlobEndpoint=https://acc.blob.core.windows.net;SharedAccessSignature=?{PLAIN};"),
    ] {
        assert_eq!(Token::parse(&text).unwrap(), plain);
    }
    assert_eq!(plain.expires(), Some(at("2026-01-01T00:00:00Z")));
}

#[test]
fn a_plus_is_a_plus() {
    let token = "se=2026-01-01T01:00+01:00&sr=c&sp=cw&sig=a1B2/c3+D4e5+F6=";
    let token = Token::parse(token).unwrap();
    assert_eq!(
        token.query(),
        "se=2026-01-01T01:00%2B01:00&sr=c&sp=cw&sig=a1B2/c3%2BD4e5%2BF6="
    );
    assert_eq!(token.expires(), Some(at("2026-01-01T00:00:00Z")));
    // As it came, and as it is sent.
    let shown = secret::hidden("it has a1B2/c3+D4e5+F6= and a1B2/c3%2BD4e5%2BF6= in it");
    assert!(!shown.contains("D4e5"), "{shown}");
}

#[test]
fn the_signature_is_never_shown() {
    let token = Token::parse(PLAIN).unwrap();
    let shown = format!("{token:?} {:?}", token.clone());
    assert!(!shown.contains("ab") || !shown.contains("cd"), "{shown}");
    assert!(shown.contains("cw"), "{shown}");
    // A policy has the name that somebody gave it.
    let token = Token::parse("sig=c2lnbmF0dXJlMTIz&si=of-c2lnbmF0dXJlMTIz").unwrap();
    let shown = format!("{token:?}");
    assert!(
        !shown.contains("bmF0dXJl") && shown.contains("of-***"),
        "{shown}"
    );
    let text = "GET /x?sig=ab%2Bcd%3D and ab+cd= once more";
    let error = unusable(text).to_string();
    assert_eq!(error, "the SAS token GET /x?sig=*** and *** once more");
}

#[test]
fn a_signature_within_another_value_is_no_value() {
    for (token, key) in [
        ("sp=rsig=c2lnbmF0dXJl&sig=x", "sp"),
        ("sig=x&sr=csig=c2lnbmF0dXJl", "sr"),
        ("sip=1.2.3.4%26sig%3Dc2lnbmF0dXJl&sig=x", "sip"),
        ("sig=x&si=policy%26sig=c2lnbmF0dXJl", "si"),
        ("si=policySIG='c2lnbmF0dXJl&sig=x", "si"),
        ("se=2026-01-01sig=c2lnbmF0dXJl&sig=x", "se"),
    ] {
        let error = Token::parse(token).unwrap_err();
        let said = format!("{error} {error:?}");
        assert!(said.contains(&format!(" in {key}")), "{said}");
        assert!(!said.contains("c2lnbmF0dXJl"), "{said}");
    }
    for token in [
        // A response header, which the service sets as the token says.
        "rscd=attachment;%20filename=x&sig=x",
        // The policy's identifier as "Set Container ACL" has it.
        "si=MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI%3D&sig=x",
        "si=MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=&sig=x",
        "si=read%20%26%20write&sig=x",
    ] {
        assert!(Token::parse(token).is_ok(), "{token}");
    }
}

#[test]
fn what_a_token_lacks_is_said() {
    let now = "2025-06-01T00:00:00Z";
    assert_eq!(
        check(PLAIN, &[Permission::Create, Permission::Overwrite], now),
        Ok(())
    );
    for (token, needs, now, said) in [
        (
            PLAIN.to_owned(),
            Permission::Create,
            "2026-01-01T00:00:00Z",
            "expired at 2026-01-01 00:00:00 UTC",
        ),
        (
            PLAIN.to_owned(),
            Permission::Create,
            "2024-12-31T23:59:59Z",
            "not valid before 2025-01-01",
        ),
        (PLAIN.to_owned(), Permission::Read, now, "sp=cw lacks 'r'"),
        (PLAIN.to_owned(), Permission::List, now, "sp=cw lacks 'l'"),
        (
            PLAIN.replace("sp=cw", "sp=rl"),
            Permission::Create,
            now,
            "sp=rl lacks 'c' or 'w'",
        ),
        (
            PLAIN.replace("sp=cw", "sp=c"),
            Permission::Overwrite,
            now,
            "sp=c lacks 'w'",
        ),
        (
            PLAIN.replace("&sp=cw", ""),
            Permission::Create,
            now,
            "permissions (sp) are missing",
        ),
        (
            PLAIN.replace("sr=c", "sr=b"),
            Permission::Create,
            now,
            "for one blob (sr=b), not for the container 'backups'",
        ),
        (
            PLAIN.replace("sr=c", "ss=f&srt=o"),
            Permission::Create,
            now,
            "for other services",
        ),
        (
            PLAIN.replace("sr=c", "ss=b&srt=s"),
            Permission::Create,
            now,
            "not for blobs",
        ),
        (
            PLAIN.replace("se=2026-01-01T00%3A00Z&", ""),
            Permission::Create,
            now,
            "does not say when it expires",
        ),
        (
            format!("{PLAIN}&ske=2025-05-01T00:00:00Z"),
            Permission::Create,
            now,
            "expired at 2025-05-01",
        ),
    ] {
        let error = check(&token, &[needs], now).unwrap_err();
        assert!(error.contains(said), "{error}");
    }
    assert_eq!(
        check(
            &PLAIN.replace("sr=c", "sr=b").replace("cw", "r"),
            &[Permission::Read],
            now
        ),
        Ok(())
    );
}

#[test]
fn times_are_read_in_all_their_forms() {
    for (se, expires) in [
        ("2026-01-01", "2026-01-01T00:00:00Z"),
        ("2026-01-01T10:30Z", "2026-01-01T10:30:00Z"),
        ("2026-01-01T10:30:15Z", "2026-01-01T10:30:15Z"),
        ("2026-01-01T10:30:15.5Z", "2026-01-01T10:30:15.5Z"),
        ("2026-01-01T10%3A30%3A15%2B02%3A00", "2026-01-01T08:30:15Z"),
        ("2026-01-01T10:30-05:00", "2026-01-01T15:30:00Z"),
    ] {
        let token = Token::parse(&format!("se={se}&sig=x")).unwrap();
        assert_eq!(token.expires(), Some(at(expires)), "{se}");
    }
}

#[test]
fn an_account_s_token_is_for_all_that_is_needed() {
    let now = "2025-06-01T00:00:00Z";
    let of = |types: &str| PLAIN.replace("sr=c&sp=cw", &format!("ss=b&srt={types}&sp=rdl"));
    let needs = [Permission::List, Permission::Delete];
    assert_eq!(check(&of("co"), &needs, now), Ok(()));
    assert_eq!(check(&of("c"), &needs[..1], now), Ok(()));
    let lacks = |types: &str| check(&of(types), &needs, now).unwrap_err();
    assert!(lacks("c").contains("not for blobs"), "{}", lacks("c"));
    assert!(lacks("o").contains("not for containers"), "{}", lacks("o"));
}

#[test]
fn https_may_be_demanded() {
    let (url, _) = ContainerUrl::parse("http://127.0.0.1:10000/acc/backups").unwrap();
    let error = Token::parse(PLAIN).unwrap().check(&[], &url).unwrap_err();
    assert!(error.to_string().contains("demands https"), "{error}");
    let both = PLAIN.replace("spr=https", "spr=https,http");
    assert_eq!(Token::parse(&both).unwrap().check(&[], &url), Ok(()));
}

#[test]
fn a_policy_may_say_the_rest() {
    let now = "2025-06-01T00:00:00Z";
    assert_eq!(
        check(
            "sv=1&sr=c&si=nightly&sig=x",
            &[Permission::Create, Permission::List],
            now
        ),
        Ok(())
    );
    assert_eq!(Token::parse("si=nightly&sig=x").unwrap().expires(), None);
}

#[test]
fn what_is_no_token_is_said() {
    for (text, said) in [
        ("", "is empty"),
        ("?", "is empty"),
        ("sv=1&se=2026-01-01", "no signature"),
        ("sv=1&se=2026-01-01&sig=", "no signature"),
        ("sv=1&se=20\n26&sig=hidden", "white space"),
        ("se=soon&sig=hidden", "no proper time in se"),
    ] {
        let error = Token::parse(text).unwrap_err();
        assert!(error.to_string().contains(said), "{text}: {error}");
        assert!(!error.to_string().contains("hidden"));
    }
}

proptest! {
    #[test]
    fn a_token_allows_what_it_says(
        permissions in "[acdfilmopqrstuwxy]{0,8}",
        starts in 0..4_000_000_000_i64,
        valid in 1..400_000_000_i64,
        now in 0..4_400_000_000_i64,
        which in 0..7_usize,
    ) {
        let moment = |seconds: i64| DateTime::from_timestamp(seconds, 0).unwrap();
        let written = |seconds| moment(seconds).format("%Y-%m-%dT%H%%3A%M%%3A%SZ");
        let expires = starts + valid;
        let token = format!(
            "sv=1&st={}&se={}&sr=c&sp={permissions}&sig=x",
            written(starts),
            written(expires),
        );
        let token = Token::parse(&token).unwrap();
        prop_assert_eq!(token.expires(), Some(moment(expires)));
        let (need, any) = [
            (Permission::Read, "r"),
            (Permission::List, "l"),
            (Permission::Create, "cw"),
            (Permission::Overwrite, "w"),
            (Permission::Delete, "d"),
            (Permission::Tag, "t"),
            (Permission::Immutability, "i"),
        ][which];
        let allowed = permissions.chars().any(|permission| any.contains(permission));
        let checked = token.check(&[need], &container());
        prop_assert_eq!(checked.is_ok(), allowed, "{:?}", checked);
        let timely = token.not_valid_at(moment(now)).is_none();
        prop_assert_eq!(timely, (starts..expires).contains(&now));
    }

    #[test]
    fn no_text_breaks_the_parser_or_shows_its_signature(
        head in "[a-z&=%?0-9TZ:-]{0,40}",
        sig in "[A-Za-z0-9]{20}",
    ) {
        match Token::parse(&format!("{head}&sig={sig}")) {
            Ok(token) => {
                let shown = format!("{token:?}");
                prop_assert!(!shown.contains(&sig));
            }
            Err(error) => {
                let shown = format!("{error:?}");
                prop_assert!(!shown.contains(&sig));
            }
        }
    }
}
