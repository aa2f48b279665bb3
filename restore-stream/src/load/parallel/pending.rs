//! Statements that become a unit when no more of them come.

use dump_text::QualifiedName;

use super::relations::StatementUse;
use super::schedule::Use;

/// Small indexes and constraints that follow each other are one unit: of tables with up to this many bytes of SQL together,
/// and of this many statements.
const SMALL: u64 = 1 << 20;
const MOST_STATEMENTS: usize = 64;

/// Statements that will be one unit.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) statements: Vec<Vec<u8>>,
    /// What they use together, and what the last one that creates something has created.
    pub(super) uses: StatementUse,
}

impl Pending {
    pub(super) fn new(statement: &[u8], uses: StatementUse) -> Self {
        Self {
            statements: vec![statement.to_vec()],
            uses,
        }
    }

    /// Adds the next statement, if they are small together. Otherwise it gives back what that uses.
    pub(super) fn add(&mut self, statement: &[u8], uses: StatementUse) -> Option<StatementUse> {
        let small = self.uses.weight + uses.weight <= SMALL;
        if !small || self.statements.len() >= MOST_STATEMENTS {
            return Some(uses);
        }
        self.statements.push(statement.to_vec());
        self.uses.weight += uses.weight;
        self.uses.uses.extend(uses.uses);
        self.uses.creates = uses.creates;
        None
    }

    /// Adds a detail of what was created last, if it is one.
    pub(super) fn add_detail(
        &mut self,
        of: &QualifiedName,
        table: Option<&QualifiedName>,
        statement: &[u8],
    ) -> bool {
        let created = self.uses.creates.as_ref();
        if created.is_none_or(|it| !it.is_meant_by(of, table)) {
            return false;
        }
        self.statements.push(statement.to_vec());
        if table.is_some() {
            // It locks the table as no index does.
            for (_, how) in &mut self.uses.uses {
                *how = Use::Exclusive;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use dump_text::{Ddl, ddl};

    use super::super::relations::Relations;
    use super::*;

    fn uses(statement: &str) -> StatementUse {
        Relations::default()
            .statement(&ddl(statement.as_bytes()))
            .unwrap()
    }

    fn detail(pending: &mut Pending, statement: &str) -> bool {
        let Ddl::Detail { of, table } = ddl(statement.as_bytes()) else {
            panic!("{statement}");
        };
        pending.add_detail(&of, table.as_ref(), statement.as_bytes())
    }

    #[test]
    fn details_go_to_the_last_index_only() {
        let index = "CREATE INDEX i ON s.t USING btree (a);";
        let mut pending = Pending::new(index.as_bytes(), uses(index));
        assert!(detail(&mut pending, "COMMENT ON INDEX s.i IS 'x';"));
        let all = |pending: &Pending, how| pending.uses.uses.iter().all(|it| it.1 == how);
        assert!(all(&pending, Use::Shared));
        assert!(!detail(&mut pending, "ALTER TABLE s.u CLUSTER ON i;"));
        assert!(detail(&mut pending, "ALTER TABLE s.t CLUSTER ON i;"));
        assert!(all(&pending, Use::Exclusive));
        let other = "CREATE INDEX j ON s.t USING btree (a);";
        assert_eq!(pending.add(other.as_bytes(), uses(other)), None);
        assert!(!detail(&mut pending, "COMMENT ON INDEX s.i IS 'x';"));
        assert!(detail(&mut pending, "COMMENT ON INDEX s.j IS 'x';"));
        assert_eq!(pending.statements.len(), 5);
    }

    #[test]
    fn a_large_table_s_index_stays_alone() {
        let index = "CREATE INDEX i ON s.t USING btree (a);";
        let large = StatementUse {
            weight: SMALL,
            ..uses(index)
        };
        let mut pending = Pending::new(index.as_bytes(), uses(index));
        pending.uses.weight = 1;
        assert!(pending.add(index.as_bytes(), large).is_some());
        assert_eq!(pending.statements.len(), 1);
    }
}
