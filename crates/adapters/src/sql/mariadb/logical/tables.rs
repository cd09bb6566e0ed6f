//! Tables out of a scratch database into the one they are for.
//!
//! A rename moves a table at once, but not one with triggers, and its foreign keys would go on pointing into the
//! scratch. So single tables leave their foreign keys, and triggers are taken off and put on again: a rename within the
//! scratch has the server write the new name of the table into them.

use lifeboat_repository::Ctx;

use super::restore::{Restored, Wanted};
use crate::sql::error::{Result, SqlError};
use crate::sql::mariadb::client::Client;
use crate::sql::mariadb::names::{identifier, literal};

pub(super) struct Scratch<'a> {
    pub(super) client: &'a Client,
    pub(super) name: &'a str,
}

/// A trigger as the server has it.
struct Trigger {
    name: String,
    sql_mode: String,
    statement: String,
    collation: String,
}

impl Scratch<'_> {
    /// All tables of it, with what ties them together; gives their names.
    pub(super) fn move_all_tables(&self, target: &str, ctx: &Ctx) -> Result<Vec<String>> {
        let tables = self.tables(ctx)?;
        let names: Vec<_> = tables.iter().map(|table| (table.as_str(), table.as_str())).collect();
        self.rename(&names, target, ctx)?;
        Ok(tables)
    }

    /// The tables that are wanted, under their new names.
    pub(super) fn move_tables(&self, wanted: &Wanted, restored: &mut Restored, ctx: &Ctx) -> Result<()> {
        let target = wanted.new_name.as_str();
        let names: Vec<_> =
            wanted.tables.iter().map(|table| (table.name.as_str(), table.new_name.as_str())).collect();
        self.drop_foreign_keys(&names, target, restored, ctx)?;
        self.drop_others(&names, ctx)?;
        // In two steps: a new name may be the old one of another.
        let between: Vec<_> = (0..names.len()).map(|number| format!("lifeboat {number}")).collect();
        let away: Vec<_> = names.iter().zip(&between).map(|((name, _), new)| (*name, new.as_str())).collect();
        let back: Vec<_> = names.iter().zip(&between).map(|((_, new), old)| (old.as_str(), *new)).collect();
        self.rename(&away, self.name, ctx)?;
        self.rename(&back, self.name, ctx)?;
        let triggers = self.take_triggers(ctx)?;
        let new_names: Vec<_> = names.iter().map(|(_, new)| (*new, *new)).collect();
        self.rename(&new_names, target, ctx)?;
        restored.tables.extend(new_names.iter().map(|(table, _)| format!("{target}.{table}")));
        let taken = self.names_of_triggers(target, ctx)?;
        for trigger in triggers {
            if taken.contains(&trigger.name) {
                let text = format!("the trigger {target}.{} is there already", trigger.name);
                restored.left_out.push(text);
                continue;
            }
            self.create(&trigger, target, ctx)?;
        }
        Ok(())
    }

    fn tables(&self, ctx: &Ctx) -> Result<Vec<String>> {
        let sql = format!(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = {} AND table_type <> 'VIEW'",
            literal(self.name)
        );
        self.client.column(&sql, ctx)
    }

    /// All in one statement: either all are moved or none.
    fn rename(&self, names: &[(&str, &str)], target: &str, ctx: &Ctx) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let (from, to) = (identifier(self.name), identifier(target));
        let moves =
            names.iter().map(|(old, new)| format!("{from}.{} TO {to}.{}", identifier(old), identifier(new)));
        let moves: Vec<_> = moves.collect();
        self.client.execute(&format!("SET foreign_key_checks = 0; RENAME TABLE {}", moves.join(", ")), ctx)
    }

    fn drop_foreign_keys(
        &self,
        names: &[(&str, &str)],
        target: &str,
        restored: &mut Restored,
        ctx: &Ctx,
    ) -> Result<()> {
        let sql = format!(
            "SELECT table_name, constraint_name FROM information_schema.referential_constraints \
             WHERE constraint_schema = {}",
            literal(self.name)
        );
        for row in self.client.rows(&sql, ctx)? {
            let [table, key] = <[String; 2]>::try_from(row).map_err(|_| self.odd_answer())?;
            let Some((_, new_name)) = names.iter().find(|(name, _)| *name == table) else { continue };
            let (schema, table) = (identifier(self.name), identifier(&table));
            self.client.execute(
                &format!("ALTER TABLE {schema}.{table} DROP FOREIGN KEY {}", identifier(&key)),
                ctx,
            )?;
            restored.left_out.push(format!("the foreign key {key} of {target}.{new_name} is not restored"));
        }
        Ok(())
    }

    fn drop_others(&self, names: &[(&str, &str)], ctx: &Ctx) -> Result<()> {
        let is_wanted = |table: &String| names.iter().any(|(name, _)| *name == table);
        let others = self.tables(ctx)?;
        let others = others.iter().filter(|table| !is_wanted(table));
        let drops: Vec<_> =
            others.map(|table| format!("{}.{}", identifier(self.name), identifier(table))).collect();
        if drops.is_empty() {
            return Ok(());
        }
        self.client.execute(&format!("SET foreign_key_checks = 0; DROP TABLE {}", drops.join(", ")), ctx)
    }

    fn names_of_triggers(&self, database: &str, ctx: &Ctx) -> Result<Vec<String>> {
        let sql = format!(
            "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = {} \
             ORDER BY event_object_table, event_manipulation, action_timing, action_order",
            literal(database)
        );
        self.client.column(&sql, ctx)
    }

    /// Takes the triggers off all tables.
    fn take_triggers(&self, ctx: &Ctx) -> Result<Vec<Trigger>> {
        let mut triggers = Vec::new();
        let schema = identifier(self.name);
        for name in self.names_of_triggers(self.name, ctx)? {
            let trigger = format!("{schema}.{}", identifier(&name));
            let row = self.client.rows(&format!("SHOW CREATE TRIGGER {trigger}"), ctx)?.into_iter().next();
            let mut columns = row.unwrap_or_default().into_iter().skip(1);
            let mut next = || columns.next().ok_or_else(|| self.odd_answer());
            let (sql_mode, statement, _client) = (next()?, next()?, next()?);
            triggers.push(Trigger { name, sql_mode, statement, collation: next()? });
            self.client.execute(&format!("DROP TRIGGER {trigger}"), ctx)?;
        }
        Ok(triggers)
    }

    fn create(&self, trigger: &Trigger, target: &str, ctx: &Ctx) -> Result<()> {
        // As long as one can be, and no word within any statement.
        let end = "//lifeboat//";
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let collation = trigger.collation.as_str();
        let collate = match collation.starts_with("utf8mb4_") && collation.chars().all(is_name) {
            true => format!(" COLLATE {collation}"),
            false => String::new(),
        };
        let sql = format!(
            "SET NAMES utf8mb4{collate};\nSET sql_mode = {};\nUSE {};\nDELIMITER {end}\n{}\n{end}\n",
            literal(&trigger.sql_mode),
            identifier(target),
            trigger.statement
        );
        self.client.execute(&sql, ctx)
    }

    fn odd_answer(&self) -> SqlError {
        SqlError::damaged(format!("{} gave an answer that cannot be", self.client.server()))
    }
}
