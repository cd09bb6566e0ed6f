//! Check: is everything there, and is it what it was?
