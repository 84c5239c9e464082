//! How long would a regression go unseen? Published beforehand, so that people see when a step is
//! too short for the effect they care about.

/// Requests (or users) of both arms together that the error-share test is expected to need.
///
/// * `q`: the canary's share of the exposure, in (0, 1)
/// * `p_c`, `p_s`: rates of bad outcomes in canary and stable, 0 to 1
/// * `alpha`: the promised chance of a false alarm, in (0, 1)
///
/// Expected bad ones ≈ (ln(1/α) + ln 8) / KL(θ‖q), with θ the canary's expected share of them; one
/// bad one comes in every `1 / (q·p_c + (1−q)·p_s)` requests. At least three bad ones are asked
/// for, as the test does. `None` when the canary is not worse, or an argument is out of range: then
/// no number of requests would do.
///
/// ```
/// let requests = sluice_judgement::predicted_requests_to_detect(0.05, 0.10, 0.001, 0.001).unwrap();
/// assert!((500.0..1_000.0).contains(&requests)); // under a second at 1,000 requests a second
/// ```
pub fn predicted_requests_to_detect(q: f64, p_c: f64, p_s: f64, alpha: f64) -> Option<f64> {
    let inside = |x: f64| x > 0.0 && x < 1.0;
    let sane =
        inside(q) && inside(alpha) && (0.0..=1.0).contains(&p_c) && (0.0..=1.0).contains(&p_s);
    if !sane || p_c <= p_s {
        return None;
    }
    let bad = q * p_c + (1.0 - q) * p_s;
    let errors = ((1.0 / alpha).ln() + 8_f64.ln()) / divergence(q * p_c / bad, q);
    Some(errors.max(3.0) / bad)
}

/// Kullback-Leibler divergence of two coins, in nats.
pub(crate) fn divergence(a: f64, b: f64) -> f64 {
    let term = |x: f64, y: f64| if x == 0.0 { 0.0 } else { x * (x / y).ln() };
    term(a, b) + term(1.0 - a, 1.0 - b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gross_fault_needs_few_requests_and_a_small_one_many() {
        let gross = predicted_requests_to_detect(0.05, 1.0, 0.001, 0.001).unwrap();
        let small = predicted_requests_to_detect(0.05, 0.01, 0.001, 0.001).unwrap();
        assert!(gross < 100.0, "{gross}");
        assert!(small > 5_000.0, "{small}");
    }

    #[test]
    fn nothing_is_predicted_for_a_canary_that_is_not_worse() {
        for (q, p_c, p_s) in [
            (0.05, 0.01, 0.01),
            (0.05, 0.0, 0.1),
            (0.0, 0.1, 0.0),
            (1.0, 0.1, 0.0),
        ] {
            assert_eq!(
                predicted_requests_to_detect(q, p_c, p_s, 0.01),
                None,
                "{q} {p_c} {p_s}"
            );
        }
    }
}
