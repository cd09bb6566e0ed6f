//! Sources and targets against the real world.

mod files;
