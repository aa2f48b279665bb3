/// Follows psql's rule for SQL function bodies (`BEGIN ATOMIC … END`), in which a `;` ends no statement. psql goes by
/// unquoted words alone, whatever they mean where they stand.
#[derive(Debug, Default)]
pub(crate) struct SqlBody {
    /// The first letters of the first words that matter, as psql collects them.
    letters: [u8; 4],
    words: usize,
    depth: u32,
}

impl SqlBody {
    pub(crate) fn is_open(&self) -> bool {
        self.depth > 0
    }

    /// A statement begins; what is open stays open.
    pub(crate) fn begin_statement(&mut self) {
        self.words = 0;
        self.letters = [0; 4];
    }

    /// An unquoted word, in lower case; `outside`: of parentheses.
    pub(crate) fn word(&mut self, word: &[u8], outside: bool) {
        if self.words > 0 && self.letters[0] == 0 {
            return;
        }
        if let Some(letter) = self.letters.get_mut(self.words) {
            *letter = match word {
                b"create" | b"function" | b"procedure" | b"or" | b"replace" => word[0],
                _ => 0,
            };
        }
        self.words = self.words.saturating_add(1);
        let routine = matches!(
            self.letters,
            [b'c', b'f' | b'p', ..] | [b'c', b'o', b'r', b'f' | b'p']
        );
        if !routine || !outside {
            return;
        }
        match word {
            b"begin" => self.depth = self.depth.saturating_add(1),
            b"case" if self.depth > 0 => self.depth = self.depth.saturating_add(1),
            b"end" => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}
