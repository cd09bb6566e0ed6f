//! What the tests share. Never linked into the product.

pub mod cgroup;
pub mod digest;
pub mod fuzz;
pub mod mariadb;
pub mod postgres;
pub mod random;
pub mod redis;
pub mod repository;
pub mod restic;
pub mod servant;
pub mod soak;
pub mod storage;
pub mod time;
pub mod tree;
