//! Ages, in the two units that kubectl shows.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::object::text;

/// The age of an object.
pub(super) fn of(object: &Value, now: Timestamp) -> Value {
    since(text(object, "/metadata/creationTimestamp"), now)
}

/// The time since a stamp.
pub(super) fn since(stamp: &str, now: Timestamp) -> Value {
    match stamp.parse::<Timestamp>() {
        Ok(then) => json!(human(now.duration_since(then).as_secs())),
        Err(_) => json!("<unknown>"),
    }
}

/// As `HumanDuration` of apimachinery does it: precise while short, coarse when long.
pub(super) fn human(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let both = |big: i64, unit: &str, small: i64, small_unit: &str| {
        if small == 0 {
            format!("{big}{unit}")
        } else {
            format!("{big}{unit}{small}{small_unit}")
        }
    };
    match seconds {
        ..0 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => both(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => both(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => both(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => both(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}
