//! An answer, and how it is sent.

use std::io::{self, Write};
use std::net::TcpStream;

use crate::Fault;

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

pub(crate) fn write_answer(
    mut stream: &TcpStream,
    answer: &Answer,
    some: Option<usize>,
) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {} X\r\n", answer.status);
    if !answer
        .headers
        .iter()
        .any(|(name, _)| name == "content-length")
    {
        head += &format!("content-length: {}\r\n", answer.body.len());
    }
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    stream.write_all(&answer.body[..some.unwrap_or(usize::MAX).min(answer.body.len())])
}

pub(crate) fn status_of(fault: Option<&Fault>) -> Option<Answer> {
    match fault? {
        Fault::Status(status, code, header) => {
            let mut answer = refused(*status, code);
            let header = header.map(|(name, value)| (name.to_owned(), value.to_owned()));
            answer.headers.extend(header);
            Some(answer)
        }
        Fault::Say(text) => Some(Answer {
            status: 200,
            headers: Vec::new(),
            body: text.as_bytes().to_vec(),
        }),
        _ => None,
    }
}

pub(crate) fn refused(status: u16, code: &str) -> Answer {
    let body = format!(
        "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>Words.\nRequestId:1</Message></Error>"
    );
    Answer {
        status,
        headers: vec![("x-ms-error-code".into(), code.into())],
        body: body.into_bytes(),
    }
}

pub(crate) fn done(status: u16) -> Answer {
    Answer {
        status,
        headers: Vec::new(),
        body: Vec::new(),
    }
}
