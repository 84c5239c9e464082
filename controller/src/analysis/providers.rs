//! Providers: who measures. There is one so far, [`sluice_proxy`]; the others are refused when the
//! spec is checked.

pub mod sluice_proxy;

use std::collections::BTreeMap;
use std::sync::Arc;

use judgement::Verdict;

use crate::conditions::Value;

/// What a provider sees of a metric right now.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// What the test says.
    pub verdict: Verdict,
    /// Why there is nothing to see, where that is so: `no proxy of fleet x is connected`.
    pub silence: Option<String>,
}

// === impl Look ===

impl Look {
    /// The `result` of conditions.
    pub fn result(&self) -> Value {
        let reasons = &self.verdict.reasons;
        let fields = [
            ("errors", reasons.errors as f64),
            ("requests", reasons.requests as f64),
            ("rate", reasons.rate),
            ("share", reasons.share),
            ("e", reasons.e),
        ];
        let fields: BTreeMap<String, Value> = fields
            .map(|(name, number)| (name.to_owned(), Value::Float(number)))
            .into();
        Value::Map(Arc::new(fields))
    }
}
