//! The kinds of bytes that SQL is made of. All that are not ASCII are letters.

const SPACE: u8 = 1;
const FIRST: u8 = 2;
const TAG: u8 = 4;
const WORD: u8 = 8;

/// White space since psql 16.
pub(crate) const VERTICAL_TAB: u8 = 0x0b;

/// What a byte may be: one look for each byte of a dump.
static KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = match byte as u8 {
            b' ' | b'\t' | b'\n' | b'\r' | VERTICAL_TAB | 0x0c => SPACE,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80..=0xff => FIRST | TAG | WORD,
            b'0'..=b'9' => TAG | WORD,
            b'$' => WORD,
            _ => 0,
        };
        byte += 1;
    }
    kinds
};

fn is(kinds: u8, byte: u8) -> bool {
    KINDS[usize::from(byte)] & kinds != 0
}

/// White space as psql knows it.
pub(crate) fn is_space(byte: u8) -> bool {
    is(SPACE, byte)
}

pub(crate) fn starts_word(byte: u8) -> bool {
    is(FIRST, byte)
}

pub(crate) fn continues_word(byte: u8) -> bool {
    is(WORD, byte)
}

/// In a dollar quote's tag, or a variable's name.
pub(crate) fn continues_tag(byte: u8) -> bool {
    is(TAG, byte)
}
