//! What is escaped in `E'…'` and `U&'…'`.

/// The value of the text within `E'…'`. None if the server refuses it.
pub(crate) fn escaped(text: &[u8]) -> Option<Vec<u8>> {
    let mut value = Vec::with_capacity(text.len());
    let mut characters = Characters::default();
    let mut rest = text;
    while let [first, more @ ..] = rest {
        let (b'\\', [kind, digits @ ..]) = (first, more) else {
            characters.none()?;
            value.push(*first);
            rest = more;
            continue;
        };
        rest = digits;
        let byte = match kind {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'0'..=b'7' => {
                let length = 1 + count(digits, 2, |byte| matches!(byte, b'0'..=b'7'));
                let (number, left) = more.split_at(length);
                rest = left;
                // The server too keeps the lowest eight bits.
                number.iter().fold(0_u8, |byte, digit| {
                    byte.wrapping_mul(8).wrapping_add(digit - b'0')
                })
            }
            b'x' if digits.first().is_some_and(u8::is_ascii_hexdigit) => {
                let length = count(digits, 2, u8::is_ascii_hexdigit);
                let (number, left) = digits.split_at(length);
                rest = left;
                u8::try_from(hex(number)?).ok()?
            }
            b'u' | b'U' => {
                let length = if *kind == b'u' { 4 } else { 8 };
                characters.code(hex(digits.get(..length)?)?, &mut value)?;
                rest = &digits[length..];
                continue;
            }
            other => *other,
        };
        characters.none()?;
        if byte == 0 {
            return None;
        }
        value.push(byte);
    }
    characters.none()?;
    Some(value)
}

/// The value of the text within `U&'…'` or `U&"…"`. None if the server refuses it.
pub(crate) fn unicode(text: &[u8], escape: u8) -> Option<Vec<u8>> {
    let mut value = Vec::with_capacity(text.len());
    let mut characters = Characters::default();
    let mut rest = text;
    while let [first, more @ ..] = rest {
        if *first == escape && more.first() != Some(&escape) {
            let (skipped, length) = match more {
                [b'+', ..] => (1, 6),
                _ => (0, 4),
            };
            let digits = more.get(skipped..skipped + length)?;
            characters.code(hex(digits)?, &mut value)?;
            rest = &more[skipped + length..];
            continue;
        }
        characters.none()?;
        value.push(*first);
        rest = match *first == escape {
            true => &more[1..],
            false => more,
        };
    }
    characters.none()?;
    Some(value)
}

/// Puts characters together that come in two halves.
#[derive(Default)]
struct Characters {
    first: Option<u32>,
}

impl Characters {
    fn code(&mut self, code: u32, value: &mut Vec<u8>) -> Option<()> {
        let code = match (self.first.take(), code) {
            (Some(first), 0xdc00..=0xdfff) => 0x10000 + ((first & 0x3ff) << 10) + (code & 0x3ff),
            (Some(_), _) | (None, 0) => return None,
            (None, 0xd800..=0xdbff) => {
                self.first = Some(code);
                return Some(());
            }
            (None, code) => code,
        };
        let character = char::from_u32(code)?;
        value.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        Some(())
    }

    /// No second half follows.
    fn none(&self) -> Option<()> {
        self.first.is_none().then_some(())
    }
}

fn count(text: &[u8], most: usize, belongs: impl Fn(&u8) -> bool) -> usize {
    text.iter()
        .take(most)
        .take_while(|&byte| belongs(byte))
        .count()
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |number, &digit| {
        Some(number << 4 | char::from(digit).to_digit(16)?)
    })
}
