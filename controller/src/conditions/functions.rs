//! The functions without a predicate: those of the engine, and those that Argo adds for measured
//! results (`asInt`, `asFloat`, `isNaN`, `isInf`, `isNil`, `default`).

mod convert;
mod dates;
mod lists;
mod texts;

use jiff::Timestamp;

use super::value::Value;

/// A function: its name, how many arguments it takes, and what it does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Function(&'static Entry);

#[derive(Debug)]
struct Entry {
    name: &'static str,
    least: usize,
    most: usize,
    /// Whether the engine knows the type of what it gives before it runs.
    typed: bool,
    body: Body,
}

#[derive(Clone, Copy, Debug)]
enum Body {
    Plain(fn(&[Value]) -> Result<Value, String>),
    /// Looks at the measured result, whatever it is given.
    OfResult(fn(&[Value], &Value) -> Value),
    Now,
}

/// More arguments than this are refused.
const MANY: usize = 64;

const fn plain(
    name: &'static str,
    (least, most): (usize, usize),
    body: fn(&[Value]) -> Result<Value, String>,
) -> Entry {
    Entry {
        name,
        least,
        most,
        typed: false,
        body: Body::Plain(body),
    }
}

const fn typed(
    name: &'static str,
    (least, most): (usize, usize),
    body: fn(&[Value]) -> Result<Value, String>,
) -> Entry {
    Entry {
        name,
        least,
        most,
        typed: true,
        body: Body::Plain(body),
    }
}

const FUNCTIONS: &[Entry] = &[
    typed("asInt", (1, 1), convert::as_int),
    typed("asFloat", (1, 1), convert::as_float),
    typed("isNaN", (1, 1), convert::is_nan),
    typed("isInf", (1, 1), convert::is_inf),
    Entry {
        name: "isNil",
        least: 1,
        most: 1,
        typed: true,
        body: Body::OfResult(is_nil),
    },
    Entry {
        name: "default",
        least: 2,
        most: 2,
        typed: false,
        body: Body::OfResult(default),
    },
    typed("len", (1, 1), lists::len),
    plain("first", (1, 1), lists::first),
    plain("last", (1, 1), lists::last),
    plain("take", (2, 2), lists::take),
    plain("get", (2, 2), lists::get),
    plain("keys", (1, 1), lists::keys),
    plain("values", (1, 1), lists::values),
    plain("min", (1, MANY), lists::min),
    plain("max", (1, MANY), lists::max),
    typed("mean", (1, MANY), lists::mean),
    typed("median", (1, MANY), lists::median),
    plain("reverse", (1, 1), lists::reverse),
    plain("concat", (1, MANY), lists::concat),
    plain("flatten", (1, 1), lists::flatten),
    plain("uniq", (1, 1), lists::uniq),
    plain("sort", (1, 2), lists::sort),
    plain("abs", (1, 1), convert::abs),
    typed("ceil", (1, 1), convert::ceil),
    typed("floor", (1, 1), convert::floor),
    typed("round", (1, 1), convert::round),
    typed("int", (1, 1), convert::int),
    typed("float", (1, 1), convert::float),
    typed("string", (1, 1), convert::string),
    typed("type", (1, 1), convert::type_of),
    typed("toJSON", (1, 1), convert::to_json),
    plain("fromJSON", (1, 1), convert::from_json),
    typed("trim", (1, 2), texts::trim),
    typed("trimPrefix", (1, 2), texts::trim_prefix),
    typed("trimSuffix", (1, 2), texts::trim_suffix),
    typed("upper", (1, 1), texts::upper),
    typed("lower", (1, 1), texts::lower),
    typed("split", (2, 3), texts::split),
    typed("join", (1, 2), texts::join),
    typed("replace", (3, 4), texts::replace),
    typed("repeat", (2, 2), texts::repeat),
    typed("indexOf", (2, 2), texts::index_of),
    typed("lastIndexOf", (2, 2), texts::last_index_of),
    typed("hasPrefix", (2, 2), texts::has_prefix),
    typed("hasSuffix", (2, 2), texts::has_suffix),
    Entry {
        name: "now",
        least: 0,
        most: 0,
        typed: true,
        body: Body::Now,
    },
    typed("duration", (1, 1), dates::duration),
    typed("date", (1, 3), dates::date),
];

// === impl Function ===

impl Function {
    pub(super) fn named(name: &str) -> Option<Self> {
        FUNCTIONS.iter().find(|entry| entry.name == name).map(Self)
    }

    /// How many arguments it takes, at least and at most.
    pub(super) fn arguments(self) -> (usize, usize) {
        (self.0.least, self.0.most)
    }

    pub(super) fn is_typed(self) -> bool {
        self.0.typed
    }

    pub(super) fn call(
        self,
        arguments: &[Value],
        result: &Value,
        now: Timestamp,
    ) -> Result<Value, String> {
        match self.0.body {
            Body::Plain(body) => body(arguments),
            Body::OfResult(body) => Ok(body(arguments, result)),
            Body::Now => Ok(Value::Time(now)),
        }
    }
}

fn is_nil(_: &[Value], result: &Value) -> Value {
    Value::Bool(matches!(result, Value::Nil))
}

fn default(arguments: &[Value], result: &Value) -> Value {
    match result {
        Value::Nil => arguments.get(1).cloned().unwrap_or(Value::Nil),
        measured => measured.clone(),
    }
}

/// The error of a function that was given something else than it works on.
fn unfit(name: &str, value: &Value) -> String {
    format!("invalid argument for {name} (type {})", value.type_name())
}

fn text<'a>(name: &str, value: &'a Value) -> Result<&'a str, String> {
    match value {
        Value::Text(text) => Ok(text),
        other => Err(unfit(name, other)),
    }
}
