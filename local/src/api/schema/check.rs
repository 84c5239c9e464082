//! Checking an object against its schema. Every cause is collected, with the path of its field.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Additional, Kind, Limits, ListType, Schema};
use crate::api::refuse::Cause;

impl Schema {
    /// Everything that is wrong with an object. With the object as it was, rules about changes
    /// (`self == oldSelf`) are held too.
    pub(crate) fn check(&self, object: &Value, old: Option<&Value>) -> Vec<Cause> {
        let mut causes = Vec::new();
        self.check_at(object, old, "", &mut causes);
        causes
    }

    fn check_at(&self, value: &Value, old: Option<&Value>, at: &str, causes: &mut Vec<Cause>) {
        if value.is_null() && self.nullable {
            return;
        }
        if let (Some(message), Some(old)) = (&self.immutable, old)
            && old != value
        {
            causes.push(Cause::invalid(at, value, message));
        }
        if !self.is_of_type(value) {
            causes.push(Cause::wrong_type(at, type_of(value), self.wanted()));
            return;
        }
        self.limits.check(value, at, causes);
        self.check_combinations(value, at, causes);
        match value {
            Value::Object(fields) => self.check_fields(fields, old, at, causes),
            Value::Array(items) => self.check_items(items, at, causes),
            _ => {}
        }
    }

    fn is_of_type(&self, value: &Value) -> bool {
        if self.int_or_string {
            return value.is_string() || is_whole(value);
        }
        match self.kind {
            None => !value.is_null() || self.keep_unknown,
            Some(Kind::Object) => value.is_object(),
            Some(Kind::Array) => value.is_array(),
            Some(Kind::String) => value.is_string(),
            Some(Kind::Integer) => is_whole(value),
            Some(Kind::Number) => value.is_number(),
            Some(Kind::Boolean) => value.is_boolean(),
        }
    }

    fn wanted(&self) -> &'static str {
        match self.kind {
            _ if self.int_or_string => "integer,string",
            None => "any",
            Some(Kind::Object) => "object",
            Some(Kind::Array) => "array",
            Some(Kind::String) => "string",
            Some(Kind::Integer) => "integer",
            Some(Kind::Number) => "number",
            Some(Kind::Boolean) => "boolean",
        }
    }

    fn check_fields(
        &self,
        fields: &Map<String, Value>,
        old: Option<&Value>,
        at: &str,
        causes: &mut Vec<Cause>,
    ) {
        for key in self
            .required
            .iter()
            .filter(|key| !fields.contains_key(*key))
        {
            causes.push(Cause::required(&below(at, key), ""));
        }
        for (key, value) in fields {
            let schema = match (self.property(key), &self.additional) {
                (Some(schema), _) => schema,
                (None, Additional::Each(schema)) => schema,
                (None, _) => continue,
            };
            // The server checks metadata itself, with its own type.
            if !(at.is_empty() && key == "metadata") {
                let old = old.and_then(|old| old.get(key));
                schema.check_at(value, old, &below(at, key), causes);
            }
        }
    }

    fn check_items(&self, items: &[Value], at: &str, causes: &mut Vec<Cause>) {
        if let Some(schema) = &self.items {
            for (index, item) in items.iter().enumerate() {
                schema.check_at(item, None, &format!("{at}[{index}]"), causes);
            }
        }
        for (index, item) in items.iter().enumerate() {
            let twice = items[..index]
                .iter()
                .any(|earlier| self.list.same(earlier, item));
            if twice {
                causes.push(Cause::duplicate(&format!("{at}[{index}]"), item));
            }
        }
    }

    fn check_combinations(&self, value: &Value, at: &str, causes: &mut Vec<Cause>) {
        let holds = |schema: &Self| {
            let mut wrong = Vec::new();
            schema.check_at(value, None, at, &mut wrong);
            wrong.is_empty()
        };
        for schema in &self.all_of {
            schema.check_at(value, None, at, causes);
        }
        if !self.any_of.is_empty() && !self.any_of.iter().any(holds) {
            let why = format!("{at} in body must validate at least one schema (anyOf)");
            causes.push(Cause::invalid(at, value, &why));
        }
        if !self.one_of.is_empty() && self.one_of.iter().filter(|one| holds(one)).count() != 1 {
            let why = format!("{at} in body must validate one and only one schema (oneOf)");
            causes.push(Cause::invalid(at, value, &why));
        }
        if self.not.as_deref().is_some_and(holds) {
            let why = format!("{at} in body must not validate the schema (not)");
            causes.push(Cause::invalid(at, value, &why));
        }
    }
}

impl ListType {
    fn same(&self, one: &Value, other: &Value) -> bool {
        match self {
            Self::Atomic => false,
            Self::Set => one == other,
            Self::Map(keys) => keys
                .iter()
                .all(|key| one.get(&key.name) == other.get(&key.name)),
        }
    }
}

impl Limits {
    fn check(&self, value: &Value, at: &str, causes: &mut Vec<Cause>) {
        if let Some(allowed) = &self.allowed
            && !allowed.contains(value)
        {
            let listed: Vec<String> = allowed.iter().map(Value::to_string).collect();
            causes.push(Cause::unsupported(at, value, &listed.join(", ")));
        }
        let wrong = match value {
            Value::Number(number) => self.wrong_number(number.as_f64().unwrap_or(f64::NAN)),
            Value::String(text) => self.wrong_text(text),
            Value::Array(items) => self.wrong_items(items),
            Value::Object(fields) => self.wrong_size(fields.len()),
            _ => None,
        };
        if let Some(why) = wrong {
            causes.push(Cause::invalid(at, value, &format!("{at} in body {why}")));
        }
    }

    fn wrong_number(&self, number: f64) -> Option<String> {
        let below = |limit: f64| number < limit || (self.exclusive_minimum && number <= limit);
        let above = |limit: f64| number > limit || (self.exclusive_maximum && number >= limit);
        if let Some(limit) = self.minimum.filter(|limit| below(*limit)) {
            let relation = if self.exclusive_minimum {
                ""
            } else {
                " or equal to"
            };
            return Some(format!("should be greater than{relation} {limit}"));
        }
        if let Some(limit) = self.maximum.filter(|limit| above(*limit)) {
            let relation = if self.exclusive_maximum {
                ""
            } else {
                " or equal to"
            };
            return Some(format!("should be less than{relation} {limit}"));
        }
        if let Some(step) = self
            .multiple_of
            .filter(|step| (number / step).fract() != 0.0)
        {
            return Some(format!("should be a multiple of {step}"));
        }
        let is_int32 = self.format.as_deref() == Some("int32");
        let outside = number < f64::from(i32::MIN) || number > f64::from(i32::MAX);
        (is_int32 && outside).then(|| "must be of type int32".to_owned())
    }

    fn wrong_text(&self, text: &str) -> Option<String> {
        let length = text.chars().count();
        if let Some(limit) = self.min_length.filter(|limit| length < *limit) {
            return Some(format!("should be at least {limit} chars long"));
        }
        if let Some(limit) = self.max_length.filter(|limit| length > *limit) {
            return Some(format!("should be at most {limit} chars long"));
        }
        if let Some(pattern) = self
            .pattern
            .as_ref()
            .filter(|pattern| !pattern.is_match(text))
        {
            return Some(format!("should match '{pattern}'"));
        }
        let is_time = self.format.as_deref() == Some("date-time");
        (is_time && text.parse::<Timestamp>().is_err())
            .then(|| format!("must be of type date-time: \"{text}\""))
    }

    fn wrong_items(&self, items: &[Value]) -> Option<String> {
        if let Some(limit) = self.min_items.filter(|limit| items.len() < *limit) {
            return Some(format!("should have at least {limit} items"));
        }
        if let Some(limit) = self.max_items.filter(|limit| items.len() > *limit) {
            return Some(format!("should have at most {limit} items"));
        }
        let twice = (1..items.len()).any(|index| items[..index].contains(&items[index]));
        (self.unique_items && twice).then(|| "shouldn't contain duplicates".to_owned())
    }

    fn wrong_size(&self, size: usize) -> Option<String> {
        if let Some(limit) = self.min_properties.filter(|limit| size < *limit) {
            return Some(format!("should have at least {limit} properties"));
        }
        self.max_properties
            .filter(|limit| size > *limit)
            .map(|limit| format!("should have at most {limit} properties"))
    }
}

fn below(at: &str, key: &str) -> String {
    if at.is_empty() {
        key.to_owned()
    } else {
        format!("{at}.{key}")
    }
}

fn is_whole(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) if is_whole(value) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
