use proptest::prelude::*;

use super::*;

/// Whether a part of the signature that is worth anything is there, however it is written.
fn shows(said: &str, signature: &str) -> bool {
    let (said, signature) = (essence_of(said), essence_of(signature));
    signature
        .windows(PART)
        .any(|part| said.windows(PART).any(|it| it == part))
}

fn encoded(text: &str) -> String {
    let escaped = text.bytes().map(|byte| match byte {
        b'+' | b'/' | b'=' | b'%' | b' ' => format!("%{byte:02X}"),
        _ => char::from(byte).to_string(),
    });
    escaped.collect()
}

const PLAIN: &str = "Wq7+zL/4kd0RTn2+Pb9vUxGh/1YcEo8m5sKfJtAiyQE=";

/// The ways in which one signature is written.
fn forms(plain: &str) -> Vec<String> {
    let once = encoded(plain);
    vec![
        plain.to_owned(),
        plain.replace('+', " "),
        plain.replace('+', "%2B"),
        plain.replace('=', ""),
        once.replace("%2B", "%2b").replace("%2F", "%2f"),
        once.replace('%', "%%"),
        encoded(&once),
        encoded(&encoded(&once)),
        once,
    ]
}

#[test]
fn a_signature_is_hidden_however_it_is_written() {
    learn(&format!("https://acc/backups?sp=rl&sig={}", encoded(PLAIN)));
    for form in forms(PLAIN) {
        for text in [
            format!("'https://acc/backups?sp=rl&sig={form}&se=2026' is a store"),
            format!("unexpected argument '{form}' found"),
            format!("unexpected argument '{}' found", &form[5..]),
            format!("invalid value {:?}", form.clone()),
            format!("cut: {}", &form[..form.len() / 2]),
            format!("wrapped: {}\n{}", &form[..20], &form[20..]),
        ] {
            let said = hidden(&text);
            assert!(!shows(&said, PLAIN), "{text}\n{said}");
            assert!(said.contains(HIDDEN), "{text}\n{said}");
        }
    }
    assert_eq!(
        hidden(&format!(
            "'https://acc/b?sp=rl&sig={}&se=1' is a store",
            encoded(PLAIN)
        )),
        "'https://acc/b?sp=rl&sig=***&se=1' is a store"
    );
}

proptest! {
    #[test]
    fn no_message_shows_a_signature(
        plain in "[A-Za-z0-9+/]{43}=",
        from in 0..30_usize,
        length in 10..60_usize,
        before in "[ -~]{0,20}",
        after in "[ -~]{0,20}",
    ) {
        learn_token(&format!("?se=2026-01-01&sr=c&sig={}", encoded(&plain)));
        for form in forms(&plain) {
            let part: String = form.chars().skip(from).take(length).collect();
            for text in [format!("{before}{part}{after}"), format!("{:?}", format!("{before}{part}{after}"))] {
                let said = hidden(&text);
                prop_assert!(!shows(&said, &plain), "{}\n{}", text, said);
            }
        }
    }

    #[test]
    fn any_text_is_taken(text in "\\PC*|[ -~%&='@:/]{0,60}") {
        learn("postgresql://me:größe1@h/db");
        let said = hidden(&text);
        prop_assert!(!said.contains("größe1"));
        hidden(&said);
    }
}

#[test]
fn passwords_are_hidden_as_words() {
    for given in [
        "host=h user=me password=hunter27 dbname=x",
        "postgresql://me:Tr0ub4dor&3@h/db",
        "host=h password=my s3cret words user=y",
        "postgresql://me:before@Behind42@h/db",
        "postgresql://me:two words4@h/db",
    ] {
        learn(given);
    }
    for (text, wanted) in [
        ("'hunter27' is no number", "'***' is no number"),
        ("tip: use --hunter27", "tip: use --***"),
        ("'Tr0ub4dor%263' and \"Tr0ub4dor&3\"", "'***' and \"***\""),
        ("host \"Behind42@h\"", "host \"***@h\""),
        (
            "'host=h password=my s3cret words user=y'",
            "'host=h password=*** user=y'",
        ),
        (
            "'postgresql://me:two words4@h/db'",
            "'postgresql://me:***@h/db'",
        ),
        ("shunter270", "shunter270"),
    ] {
        assert_eq!(hidden(text), wanted);
    }
}

#[test]
fn an_ordinary_word_stays_although_it_is_a_password() {
    for password in [
        "postgres",
        "backup",
        "backup-verify",
        "shop",
        "db1",
        "",
        "a@b",
    ] {
        learn_password(password);
        learn(&format!("postgresql://postgres:{password}@h/db"));
    }
    let text = "backup-verify: database 'postgres' of /backup/shop: db1 a b";
    assert_eq!(hidden(text), text);
    assert_eq!(
        hidden("'user=postgres password=postgres'"),
        "'user=postgres password=***'"
    );
}

#[test]
fn a_token_without_a_signature_is_hidden_whole() {
    learn_token("c2lnPVdxNy96TC80a2QwUlRuMg==");
    assert_eq!(
        hidden("what c2lnPVdxNy96TC80a2QwUlRuMg== is"),
        "what ***== is"
    );
    learn_token("/run/secrets/azure/token");
    assert_eq!(
        hidden("/run/secrets/azure/token"),
        "/run/secrets/azure/token"
    );
}

#[test]
fn a_token_that_was_wrapped_is_hidden_on_both_lines() {
    learn("se=2026-01-01&sr=c&sig=Ab9dEfGhIjKl\r\nMnOpQrStUvWx7\r\n");
    let said = hidden("line 1: Ab9dEfGhIjKl, line 2: MnOpQrStUvWx7");
    assert_eq!(said, "line 1: ***, line 2: ***");
}

#[test]
fn of_a_ping_s_url_the_host_is_left() {
    learn_url("https://hc-ping.com/9d6f4a8e-5e2c-4b1a-8c1f-0123456789ab/shop-nightly?rid=1");
    for (text, wanted) in [
        (
            "'https://hc-ping.com/9d6f4a8e-5e2c-4b1a-8c1f-0123456789ab/shop-nightly?rid=1' is",
            "'https://hc-ping.com***' is",
        ),
        ("9d6f4a8e-5e2c-4b1a-8c1f-0123456789ab", "***"),
        ("the database 'shop-nightly'", "the database 'shop-nightly'"),
    ] {
        assert_eq!(hidden(text), wanted);
    }
    learn_url("http://127.0.0.1:9/secret-uuid");
    assert_eq!(
        hidden("http://127.0.0.1:9/secret-uuid"),
        "http://127.0.0.1:9***"
    );
    for nothing in ["", "x", "http://gateway:9091", "http://gateway:9091/"] {
        learn_url(nothing);
    }
    assert_eq!(hidden("http://gateway:9091/ x"), "http://gateway:9091/ x");
}

#[test]
fn a_short_signature_is_hidden_where_it_is_a_word() {
    learn("x?sig=S3CR3T");
    assert_eq!(hidden("the S3CR3T, not S3CR3TS"), "the ***, not S3CR3TS");
    learn("x?sig=x");
    assert_eq!(hidden("x is 'y?sig=x'"), "x is 'y?sig=***'");
}

#[test]
fn what_holds_a_signature_is_told() {
    for text in ["https://a/b?sp=r&sig=abc", "sig%3Dabc", "AccountKey=abc"] {
        assert!(holds_signature(text), "{text}");
    }
    for text in ["", "sig=", "design=abc", "password=abc", "/run/token"] {
        assert!(!holds_signature(text), "{text}");
    }
    // A password of a server of Azure's, which psql needs.
    assert!(!holds_signature(WEB_TOKEN));
}

const WEB_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzM2NyM3QifQ.c2lnbmF0dXJl";

#[test]
fn a_web_token_is_hidden_whoever_shows_it() {
    for text in [
        format!("AADSTS50027: the assertion '{WEB_TOKEN}' is none"),
        format!("unexpected argument '--{WEB_TOKEN}' found"),
        format!("Authorization: Bearer {WEB_TOKEN}\r\n"),
        WEB_TOKEN.replace('.', "%2E"),
    ] {
        let said = hidden(&text);
        for part in WEB_TOKEN.split('.') {
            assert!(!said.contains(part), "{text}\n{said}");
        }
    }
    let text = "keyJar.class.of, heyJude.x";
    assert_eq!(hidden(text), text);
}
