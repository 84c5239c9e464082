//! Numbers that may be written as strings, so that they can be arguments of a template.

pub use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// The number of a limit or count of a metric. A string that is not an integer counts as 0, as in
/// Argo; see [`is_integer`] for telling people about it.
pub fn count(value: &IntOrString) -> i64 {
    match value {
        IntOrString::Int(number) => i64::from(*number),
        IntOrString::String(text) => text.parse().unwrap_or(0),
    }
}

/// [`count`] of a field that may be absent.
pub fn count_or(value: Option<&IntOrString>, default: i64) -> i64 {
    value.map_or(default, count)
}

/// Whether the value is a number, or a string that is one.
pub fn is_integer(value: &IntOrString) -> bool {
    match value {
        IntOrString::Int(_) => true,
        IntOrString::String(text) => text.parse::<i64>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_argo_reads_them() {
        let table = [
            (IntOrString::Int(3), 3, true),
            (IntOrString::Int(-1), -1, true),
            (IntOrString::String("7".into()), 7, true),
            (IntOrString::String("+7".into()), 7, true),
            (IntOrString::String("-1".into()), -1, true),
            (IntOrString::String("1.5".into()), 0, false),
            (IntOrString::String(" 7".into()), 0, false),
            (IntOrString::String("{{args.count}}".into()), 0, false),
            (IntOrString::String(String::new()), 0, false),
        ];
        for (value, expected, integer) in table {
            assert_eq!(count(&value), expected, "{value:?}");
            assert_eq!(is_integer(&value), integer, "{value:?}");
        }
        assert_eq!(count_or(None, 4), 4);
    }
}
