//! The only place of the proxy that makes randomness. Each worker owns one generator.

use std::fmt::Write as _;

/// A generator for one worker, seeded from the operating system's entropy.
#[expect(clippy::disallowed_methods, reason = "this is the randomness module")]
pub fn generator() -> fastrand::Rng {
    fastrand::Rng::new()
}

/// 32 hexadecimal digits: an id that is unique for all practical purposes. It decides a user's side,
/// so it is random; it protects nothing, so it need not be unpredictable.
pub fn hex_id(generator: &mut fastrand::Rng) -> String {
    let mut id = String::with_capacity(32);
    // Writing to a String cannot fail.
    let _ = write!(id, "{:032x}", generator.u128(..));
    id
}
