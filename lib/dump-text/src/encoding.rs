//! Encodings in which the second byte of a character may be a quote or a backslash: psql blots such bytes
//! out before it reads a line.

/// What stands in a line for all bytes of a character but the first.
const BLOT: u8 = 0xff;

/// The client encoding, as far as psql's reading of text depends on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// No byte of a longer character is ASCII.
    #[default]
    Safe,
    /// Every byte that is not ASCII begins a character of two: Big5, GBK, UHC.
    Pairs,
    /// Shift JIS: so do these, but for the bytes that are a character by themselves.
    ShiftJis,
    /// Johab, by the rules for EUC.
    Johab,
    Gb18030,
}

impl Encoding {
    /// By its name as PostgreSQL takes it: only letters and digits count.
    pub(crate) fn named(name: &[u8]) -> Self {
        let letters = name.iter().filter(|byte| byte.is_ascii_alphanumeric());
        let name: Vec<u8> = letters.map(u8::to_ascii_lowercase).collect();
        match name.as_slice() {
            b"sjis" | b"shiftjis" | b"mskanji" | b"win932" | b"windows932" | b"shiftjis2004" => {
                Self::ShiftJis
            }
            b"big5" | b"win950" | b"windows950" | b"gbk" | b"win936" | b"windows936" | b"uhc"
            | b"win949" | b"windows949" => Self::Pairs,
            b"johab" => Self::Johab,
            b"gb18030" => Self::Gb18030,
            _ => Self::Safe,
        }
    }

    /// How many bytes follow the first one of a character.
    fn following(self, first: u8) -> usize {
        match (self, first) {
            (Self::Safe, _) | (_, 0..=0x7f) => 0,
            (Self::ShiftJis, 0xa1..=0xdf) => 0,
            (Self::Johab, 0x8f) => 2,
            _ => 1,
        }
    }
}

/// Blots out, line by line, in pieces cut anywhere.
#[derive(Debug, Default)]
pub(crate) struct Blotter {
    encoding: Encoding,
    /// How many bytes of the current character are to come.
    left: usize,
    /// Whether the next byte tells how long the character is.
    second: bool,
}

impl Blotter {
    /// At the beginning of a line.
    pub(crate) fn new(encoding: Encoding) -> Self {
        Self {
            encoding,
            ..Self::default()
        }
    }

    /// A part of one line as psql sees it, its end included.
    pub(crate) fn blot(&mut self, line: &[u8], into: &mut Vec<u8>) {
        into.clear();
        into.extend(line.iter().map(|&byte| self.byte(byte)));
    }

    fn byte(&mut self, byte: u8) -> u8 {
        if byte == b'\n' {
            // A line is read without its end: no character goes on behind it.
            *self = Self::new(self.encoding);
            return byte;
        }
        if self.left == 0 {
            self.left = self.encoding.following(byte);
            self.second = self.encoding == Encoding::Gb18030;
            return byte;
        }
        if self.second && byte.is_ascii_digit() {
            self.left = 3;
        }
        self.second = false;
        self.left -= 1;
        BLOT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blotted(encoding: Encoding, line: &[u8]) -> Vec<u8> {
        let mut whole = Vec::new();
        Blotter::new(encoding).blot(line, &mut whole);
        let mut blotter = Blotter::new(encoding);
        let mut bytes = Vec::new();
        for byte in line.chunks(1) {
            let mut one = Vec::new();
            blotter.blot(byte, &mut one);
            bytes.extend(one);
        }
        assert_eq!(whole, bytes);
        whole
    }

    #[test]
    fn names_as_the_server_takes_them() {
        assert_eq!(Encoding::named(b"Shift_JIS"), Encoding::ShiftJis);
        assert_eq!(Encoding::named(b" win-936 "), Encoding::Pairs);
        assert_eq!(Encoding::named(b"UTF8"), Encoding::Safe);
    }

    #[test]
    fn what_is_blotted_out() {
        use Encoding::*;
        assert_eq!(blotted(Safe, b"\x95\\"), b"\x95\\");
        assert_eq!(blotted(ShiftJis, b"\x95\\\xb1\\'"), b"\x95\xff\xb1\\'");
        assert_eq!(blotted(Pairs, b"\xb1'\\"), b"\xb1\xff\\");
        assert_eq!(blotted(Johab, b"\x8f''\x8e''"), b"\x8f\xff\xff\x8e\xff'");
        assert_eq!(
            blotted(Gb18030, b"\x810\x81''\x81''"),
            b"\x81\xff\xff\xff'\x81\xff'"
        );
        assert_eq!(blotted(Pairs, b"\x95\n\\"), b"\x95\n\\");
    }
}
