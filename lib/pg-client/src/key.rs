use rustix::rand::{GetRandomFlags, getrandom};

use crate::{Error, ErrorKind};

/// A word that nobody can guess: `LENGTH` random bytes in hexadecimal digits.
///
/// # Errors
/// The system has no random numbers.
pub fn random_key<const LENGTH: usize>() -> Result<String, Error> {
    let mut random = [0; LENGTH];
    getrandom(&mut random, GetRandomFlags::empty()).map_err(|error| {
        Error::io(
            ErrorKind::System,
            "cannot get random numbers",
            &error.into(),
        )
    })?;
    Ok(hex::encode(random))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ() {
        let (one, other) = (random_key::<16>().unwrap(), random_key::<16>().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), 32);
    }
}
