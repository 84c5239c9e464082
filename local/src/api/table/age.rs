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

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn ages_read_as_kubectl_writes_them() {
        let (minute, hour, day, year) = (60, 3600, 86_400, 31_536_000);
        for (seconds, wanted) in [
            (-1, "0s"),
            (119, "119s"),
            (2 * minute, "2m"),
            (2 * minute + 5, "2m5s"),
            (10 * minute + 5, "10m"),
            (3 * hour - 1, "179m"),
            (3 * hour + 5 * minute, "3h5m"),
            (8 * hour + 5 * minute, "8h"),
            (2 * day, "2d"),
            (2 * day + 3 * hour, "2d3h"),
            (8 * day + 3 * hour, "8d"),
            (2 * year + 3 * day, "2y3d"),
            (8 * year + 3 * day, "8y"),
        ] {
            assert_eq!(human(seconds), wanted, "{seconds}");
        }
    }
}
