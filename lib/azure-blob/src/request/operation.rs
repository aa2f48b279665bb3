use crate::Permission;

/// What a request is for: the words of its error, and what the token must allow.
#[derive(Debug, Clone)]
pub(crate) struct Operation<'a> {
    /// How an error begins: `cannot put block 7 of 'x.sql.gz'`.
    pub(crate) cannot: String,
    pub(crate) needs: &'a [Permission],
}

impl<'a> Operation<'a> {
    pub(crate) fn new(cannot: impl Into<String>, needs: &'a [Permission]) -> Self {
        Self {
            cannot: cannot.into(),
            needs,
        }
    }
}
