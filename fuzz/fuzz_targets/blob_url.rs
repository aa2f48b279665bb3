//! URLs of containers and blobs: what is shown of one reads as the same one, and holds no signature.
#![no_main]

use azure_blob::{BlobUrl, ContainerUrl};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok((container, _)) = ContainerUrl::parse(text) {
        let shown = container.to_string();
        let (again, token) = ContainerUrl::parse(&shown).expect("our own");
        assert_eq!((again.to_string(), token), (shown, None));
    }
    if let Ok((blob, _)) = BlobUrl::parse(text) {
        let shown = blob.to_string();
        let (again, token) = BlobUrl::parse(&shown).expect("our own");
        assert_eq!(
            (again.to_string(), again.name(), token),
            (shown, blob.name(), None)
        );
    }
});
