//! Values of any size within little memory.
