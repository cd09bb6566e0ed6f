//! Where entries go to: the seam between the engine and the outside world.
