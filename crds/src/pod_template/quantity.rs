//! Quantities: `1000m` is `1`, and `1Ki` is `1024`.

use serde_json::Value;

/// Units of the smallest part of a quantity that Kubernetes keeps, a billionth.
const NANO: i128 = 1_000_000_000;

/// The quantity in one way of writing it, rounded up to thousandths as the API server rounds
/// resources; `None` for what is no quantity.
pub(super) fn canonical(value: &Value) -> Option<String> {
    let nano = match value {
        Value::String(text) => nano(text)?,
        Value::Number(number) => nano(&number.to_string())?,
        _ => return None,
    };
    // Rounded away from zero, as `RoundUp` does.
    let milli = NANO / 1000;
    let rounded = (nano.abs() + milli - 1) / milli * nano.signum();
    Some(format!("{rounded}m"))
}

/// The quantity in billionths.
fn nano(text: &str) -> Option<i128> {
    let (sign, text) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let (factor, divisor) = scale(suffix)?;
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let places = 10_i128.checked_pow(fraction.len().try_into().ok()?)?;
    let product = digits.checked_mul(factor)?.checked_mul(NANO)?;
    let divisor = divisor.checked_mul(places)?;
    // What is smaller than a billionth is rounded up.
    let rest = i128::from(product % divisor != 0);
    Some(sign * (product / divisor + rest))
}

/// What a suffix multiplies by, and divides by.
fn scale(suffix: &str) -> Option<(i128, i128)> {
    let power = |power: u32| 1000_i128.pow(power);
    let binary = |power: u32| 1024_i128.pow(power);
    Some(match suffix {
        "" => (1, 1),
        "n" => (1, power(3)),
        "u" => (1, power(2)),
        "m" => (1, power(1)),
        "k" => (power(1), 1),
        "M" => (power(2), 1),
        "G" => (power(3), 1),
        "T" => (power(4), 1),
        "P" => (power(5), 1),
        "E" => (power(6), 1),
        "Ki" => (binary(1), 1),
        "Mi" => (binary(2), 1),
        "Gi" => (binary(3), 1),
        "Ti" => (binary(4), 1),
        "Pi" => (binary(5), 1),
        "Ei" => (binary(6), 1),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            let exponent: i32 = exponent.parse().ok()?;
            let ten = 10_i128.checked_pow(exponent.unsigned_abs())?;
            if exponent < 0 { (1, ten) } else { (ten, 1) }
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_same_amount_is_written_in_one_way() {
        let same = [
            (json!("1"), json!("1000m")),
            (json!(1), json!("1")),
            (json!("0.5"), json!("500m")),
            (json!(0.5), json!("500m")),
            (json!(".5"), json!("0.50")),
            (json!("1Gi"), json!("1024Mi")),
            (json!("1G"), json!("1e9")),
            (json!("1E3"), json!("1k")),
            (json!("100u"), json!("1m")),
            (json!("0"), json!("0Gi")),
            (json!("-1"), json!("-1000m")),
            (json!("9Ei"), json!("9216Pi")),
        ];
        for (a, b) in same {
            assert!(canonical(&a).is_some(), "{a}");
            assert_eq!(canonical(&a), canonical(&b), "{a} {b}");
        }
        let other = [(json!("1"), json!("1m")), (json!("1G"), json!("1Gi"))];
        for (a, b) in other {
            assert_ne!(canonical(&a), canonical(&b), "{a} {b}");
        }
        for wrong in [
            json!(""),
            json!("x"),
            json!("1.2.3"),
            json!("1X"),
            json!("1e99"),
            json!(null),
            json!("-"),
        ] {
            assert_eq!(canonical(&wrong), None, "{wrong}");
        }
    }
}
