//! Pods given as a number or as a share: `maxSurge` and `maxUnavailable`.
//!
//! Argo resolves them with a function of Kubernetes that is deprecated for good reason: it takes
//! *any* string for a percentage, so `"25"` is 25 %, where a Deployment would refuse it. Manifests
//! rely on it.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use thiserror::Error;

/// What `maxSurge` and `maxUnavailable` are when they are unset.
pub const DEFAULT_PERCENT: &str = "25";

/// Which way a share that is not a whole number of pods goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To the next larger whole number, as `maxSurge`.
    Up,
    /// To the next smaller whole number, as `maxUnavailable`.
    Down,
}

/// Why a value is neither pods nor a share of them.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "invalid number of pods {text:?}: write a whole number, or a whole percentage as in \"25%\""
)]
pub struct PercentError {
    text: String,
}

/// The pods that a value means out of `total`. A string is a percentage, with or without the sign.
pub fn resolve(value: &IntOrString, total: i32, rounding: Rounding) -> Result<i32, PercentError> {
    let text = match value {
        IntOrString::Int(pods) => return Ok(*pods),
        IntOrString::String(text) => text,
    };
    let percent: i32 = text
        .replace('%', "")
        .parse()
        .map_err(|_| PercentError { text: text.clone() })?;
    let product = i64::from(percent) * i64::from(total);
    let whole = product.div_euclid(100);
    let pods = match rounding {
        Rounding::Up if product.rem_euclid(100) != 0 => whole + 1,
        Rounding::Up | Rounding::Down => whole,
    };
    i32::try_from(pods).map_err(|_| PercentError { text: text.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_percentages_and_integers_are_pods() {
        let table: [(IntOrString, i32, i32, i32); 9] = [
            (IntOrString::Int(3), 10, 3, 3),
            (IntOrString::Int(0), 10, 0, 0),
            (IntOrString::String("25%".into()), 10, 3, 2),
            (IntOrString::String("25".into()), 10, 3, 2),
            (IntOrString::String("25".into()), 8, 2, 2),
            (IntOrString::String("0".into()), 10, 0, 0),
            (IntOrString::String("100%".into()), 7, 7, 7),
            (IntOrString::String("200%".into()), 7, 14, 14),
            (IntOrString::String("1%".into()), 0, 0, 0),
        ];
        for (value, total, up, down) in table {
            assert_eq!(
                resolve(&value, total, Rounding::Up),
                Ok(up),
                "{value:?} of {total}"
            );
            assert_eq!(
                resolve(&value, total, Rounding::Down),
                Ok(down),
                "{value:?} of {total}"
            );
        }
    }

    #[test]
    fn what_is_no_number_is_an_error_with_the_value() {
        for text in ["", "%", "ten", "2.5%", " 25%"] {
            let error = resolve(&IntOrString::String(text.into()), 10, Rounding::Up).unwrap_err();
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }
}
