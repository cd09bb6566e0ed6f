//! What the tests share. Never linked into the product.
