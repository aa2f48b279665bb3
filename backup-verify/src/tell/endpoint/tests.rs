use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use super::*;

const SECRET: &str = "8c1fc4f6-5e2c-4a8e-9d6f-0123456789ab";

/// Answers each connection in turn, and gives what it was asked: the request line, the headers, a
/// blank line, the body.
fn server(answers: &[&'static str]) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let answers = answers.to_vec();
    let served = thread::spawn(move || {
        let serve = |answer: &str| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut input = BufReader::new(stream.try_clone().unwrap());
            let mut asked = String::new();
            while !asked.ends_with("\r\n\r\n") {
                assert!(input.read_line(&mut asked).unwrap() > 0, "{asked}");
            }
            let length = asked
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.map_or(0, |it| it.parse().unwrap())];
            input.read_exact(&mut body).unwrap();
            if answer == "never" {
                // Until the other side has had enough.
                let _ = input.read(&mut [0]);
            } else {
                let head = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close");
                write!(stream, "{head}\r\n\r\n").unwrap();
            }
            asked + &String::from_utf8(body).unwrap()
        };
        answers.into_iter().map(serve).collect()
    });
    (origin, served)
}

fn policy() -> RetryPolicy {
    RetryPolicy {
        timeout: Duration::from_secs(5),
        pause: Duration::from_millis(1),
        tries: 3,
    }
}

fn endpoint(text: &str) -> Endpoint {
    Endpoint::parse(text).unwrap()
}

#[test]
fn what_is_said_comes_after_the_path_and_before_the_query() {
    for (url, wanted) in [
        ("https://h/uuid", "https://h/uuid/fail"),
        ("HTTPS://h/uuid/", "https://h/uuid/fail"),
        (
            "https://h/uuid?rid=1&a=b/c",
            "https://h/uuid/fail?rid=1&a=b/c",
        ),
        ("http://h:8000", "http://h:8000/fail"),
        ("http://h?x", "http://h/fail?x"),
        ("http://[::1]:9091/#top", "http://[::1]:9091/fail"),
        ("http://user:p%40ss@h/a", "http://h/a/fail"),
    ] {
        assert_eq!(endpoint(url).under("fail").uri(), wanted, "{url}");
    }
    assert_eq!(endpoint("https://h/a?b").uri(), "https://h/a?b");
}

#[test]
fn what_is_no_url_is_not_shown() {
    for text in [
        "",
        SECRET,
        "ftp://h/secret",
        "https://",
        "http:///secret",
        "https://h/a secret",
    ] {
        assert_eq!(Endpoint::parse(text), None, "{text}");
    }
    let error = Endpoint::find(Some("https:/h/secret"), "NONE").unwrap_err();
    assert_eq!(error.exit(), job::Exit::Usage);
    assert!(!error.to_string().contains("secret"), "{error}");
    assert_eq!(
        Endpoint::find(None, "BACKUP_VERIFY_NO_SUCH_VARIABLE"),
        Ok(None)
    );
}

#[test]
fn it_is_shown_without_what_is_secret() {
    let endpoint = endpoint(&format!("https://user:{SECRET}@h:8/{SECRET}?key={SECRET}"));
    assert_eq!(endpoint.to_string(), "https://h:8/…");
    assert_eq!(format!("{endpoint:?}"), "https://h:8/…");
}

#[test]
fn a_text_is_posted() {
    let (origin, served) = server(&["200 OK"]);
    let endpoint = endpoint(&format!(
        "{}/{SECRET}?a=b",
        origin.replace("://", "://me:p%40ss@")
    ));
    endpoint
        .post("text/plain", "all is well\n", policy())
        .unwrap();
    let asked = served.join().unwrap().remove(0);
    assert!(
        asked.starts_with(&format!("POST /{SECRET}?a=b HTTP/1.1\r\n")),
        "{asked}"
    );
    assert!(
        asked.contains("authorization: Basic bWU6cEBzcw==\r\n"),
        "{asked}"
    );
    assert!(asked.ends_with("\r\n\r\nall is well\n"), "{asked}");
}

#[test]
fn what_may_pass_is_tried_again() {
    let (origin, served) = server(&["503 Unavailable", "429 Too Many Requests", "202 Accepted"]);
    endpoint(&origin).post("text/plain", "", policy()).unwrap();
    assert_eq!(served.join().unwrap().len(), 3);
}

#[test]
fn tries_have_an_end() {
    let (origin, served) = server(&["500 Oops"; 3]);
    let url = format!("{origin}/{SECRET}");
    let why = endpoint(&url).post("text/plain", "", policy()).unwrap_err();
    assert_eq!(
        why,
        "the answer is 500 Internal Server Error (tried 3 times)"
    );
    served.join().unwrap();
}

#[test]
fn a_refusal_stays_one() {
    let (origin, served) = server(&["404 Not Found"]);
    let url = format!("{origin}/{SECRET}");
    let why = endpoint(&url).post("text/plain", "", policy()).unwrap_err();
    assert_eq!(why, "the answer is 404 Not Found");
    served.join().unwrap();
}

#[test]
fn nobody_waits_for_who_never_answers() {
    let (origin, served) = server(&["never"]);
    let once = RetryPolicy {
        tries: 1,
        timeout: Duration::from_millis(200),
        ..policy()
    };
    let why = endpoint(&origin).post("text/plain", "", once).unwrap_err();
    assert_eq!(why, "no answer in time");
    served.join().unwrap();
}

#[test]
fn errors_hold_no_secret() {
    // A port that nobody listens on any more.
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for url in [
        format!("http://{closed}/{SECRET}?{SECRET}"),
        format!("https://{closed}/{SECRET}"),
    ] {
        let why = endpoint(&url).post("text/plain", "", policy()).unwrap_err();
        assert!(!why.contains(SECRET), "{why}");
        assert!(why.contains("refused"), "{why}");
    }
}

#[test]
fn a_certificate_is_judged_by_the_error_and_not_by_words() {
    let unknown = || rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
    let during_handshake = std::io::Error::new(std::io::ErrorKind::InvalidData, unknown());
    for error in [
        ureq::Error::Rustls(unknown()),
        ureq::Error::Io(during_handshake),
    ] {
        let said = match fault(&error) {
            Fault::Final(said) => said,
            Fault::Passing(said) => panic!("it is not tried again: {said}"),
        };
        assert!(said.contains("SSL_CERT_FILE"), "{said}");
    }
    let words = std::io::Error::other("no certificate today");
    for error in [
        ureq::Error::Io(words),
        ureq::Error::Rustls(rustls::Error::HandshakeNotComplete),
    ] {
        assert!(matches!(fault(&error), Fault::Passing(_)), "{error}");
    }
}
