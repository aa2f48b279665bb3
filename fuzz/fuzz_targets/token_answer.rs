//! The answer of Microsoft Entra ID or the Instance Metadata Service: a token in it is shown by nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;

/// In the seeds; what is made of it has another one.
const SECRET: &str = "N0tT0BeSh0wnN0tT0BeSh0wn";

fuzz_target!(|body: &[u8]| {
    let shown = azure_blob::shown_of_token_answer(body);
    let begin = format!("{{\"access_token\":\"{SECRET}");
    let has_token = body.starts_with(begin.as_bytes()) && shown.starts_with("Bearer");
    assert!(!has_token || !shown.contains(SECRET), "{shown}");
    job::secret::forget();
});
