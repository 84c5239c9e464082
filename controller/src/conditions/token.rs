//! A condition as a row of tokens.

use super::ConditionError;
use super::value::Value;

/// A token and where it begins.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A number or a string.
    Literal(Value),
    /// A name or a word that is an operator.
    Name(String),
    /// A sign.
    Sign(&'static str),
    /// `#`, `#index` or `#acc`.
    Pointer(String),
    End,
}

/// All signs, longer ones before their beginnings.
const SIGNS: &[&str] = &[
    "**", "==", "!=", "<=", ">=", "&&", "||", "??", "?.", "..", "+", "-", "*", "/", "%", "^", "<",
    ">", "!", "?", ":", ".", ",", ";", "|", "=", "(", ")", "[", "]", "{", "}",
];

/// Takes a condition apart.
pub(super) fn tokens(source: &str) -> Result<Vec<Token>, ConditionError> {
    let mut lexer = Lexer { source, at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip()?;
        let at = lexer.at;
        let kind = lexer.next()?;
        let ended = matches!(kind, Kind::End);
        tokens.push(Token { kind, at });
        if ended {
            return Ok(tokens);
        }
    }
}

/// An error at a byte of the source, in lines and characters.
pub(super) fn syntax_error(source: &str, at: usize, message: impl Into<String>) -> ConditionError {
    let before = source.get(..at).unwrap_or(source);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    ConditionError::Syntax {
        message: message.into(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn error(&self, message: impl Into<String>) -> ConditionError {
        syntax_error(self.source, self.at, message)
    }

    /// Skips spaces and comments.
    fn skip(&mut self) -> Result<(), ConditionError> {
        loop {
            let rest = self.rest();
            let spaces = rest.len() - rest.trim_start().len();
            self.at += spaces;
            let rest = self.rest();
            if rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                let end = rest
                    .find("*/")
                    .ok_or_else(|| self.error("unclosed comment"))?;
                self.at += end + 2;
            } else if spaces == 0 {
                return Ok(());
            }
        }
    }

    fn next(&mut self) -> Result<Kind, ConditionError> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Ok(Kind::End);
        };
        let digit_follows = rest[first.len_utf8()..].starts_with(|c: char| c.is_ascii_digit());
        match first {
            '"' | '\'' => self.quoted(first),
            '`' => self.raw(),
            '#' => Ok(self.pointer()),
            '0'..='9' => self.number(),
            '.' if digit_follows => self.number(),
            c if c == '_' || c == '$' || c.is_alphabetic() => {
                Ok(Kind::Name(self.word().to_owned()))
            }
            _ => self.sign(),
        }
    }

    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let inside = |c: char| c == '_' || c == '$' || c.is_alphanumeric();
        let end = rest.find(|c| !inside(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn pointer(&mut self) -> Kind {
        self.at += 1;
        Kind::Pointer(self.word().to_owned())
    }

    fn sign(&mut self) -> Result<Kind, ConditionError> {
        let rest = self.rest();
        let found = SIGNS.iter().find(|sign| rest.starts_with(**sign));
        let unknown = || {
            let character = rest.chars().next().unwrap_or_default();
            self.error(format!("unrecognized character: {character:?}"))
        };
        let sign = found.ok_or_else(unknown)?;
        self.at += sign.len();
        Ok(Kind::Sign(sign))
    }

    fn number(&mut self) -> Result<Kind, ConditionError> {
        let rest = self.rest();
        let lower = rest.to_ascii_lowercase();
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
            if let Some(digits) = lower.strip_prefix(prefix) {
                let end = digits
                    .find(|c: char| c != '_' && !c.is_ascii_alphanumeric())
                    .unwrap_or(digits.len());
                let text = digits[..end].replace('_', "");
                let number = i64::from_str_radix(&text, radix).map_err(|_| {
                    self.error(format!("bad number syntax: {:?}", &rest[..end + 2]))
                })?;
                self.at += end + 2;
                return Ok(Kind::Literal(Value::Int(number)));
            }
        }
        self.decimal()
    }

    fn decimal(&mut self) -> Result<Kind, ConditionError> {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        let digits = |from: usize| {
            let more = bytes[from..].iter();
            from + more
                .take_while(|byte| byte.is_ascii_digit() || **byte == b'_')
                .count()
        };
        let mut end = digits(0);
        let mut float = false;
        // `1..3` is a range, not the number `1.`.
        if bytes.get(end) == Some(&b'.') && bytes.get(end + 1) != Some(&b'.') {
            float = true;
            end = digits(end + 1);
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            float = true;
            end = digits(end + 1 + sign);
        }
        let text = rest[..end].replace('_', "");
        let bad = || self.error(format!("bad number syntax: {:?}", &rest[..end]));
        if rest[end..].starts_with(|c: char| c == '_' || c.is_alphabetic()) {
            return Err(bad());
        }
        let literal = if float {
            text.parse().map(Value::Float).map_err(|_| bad())
        } else {
            text.parse().map(Value::Int).map_err(|_| bad())
        };
        self.at += end;
        literal.map(Kind::Literal)
    }

    fn raw(&mut self) -> Result<Kind, ConditionError> {
        let rest = &self.rest()[1..];
        let end = rest
            .find('`')
            .ok_or_else(|| self.error("literal not terminated"))?;
        self.at += end + 2;
        Ok(Kind::Literal(Value::text(&rest[..end])))
    }

    fn quoted(&mut self, quote: char) -> Result<Kind, ConditionError> {
        let mut text = String::new();
        let mut rest = self.rest()[1..].chars();
        loop {
            match rest.next() {
                None | Some('\n') => return Err(self.error("literal not terminated")),
                Some('\\') => {
                    let escaped = unescaped(&mut rest);
                    text.push(escaped.ok_or_else(|| self.error("invalid char escape"))?);
                }
                Some(c) if c == quote => break,
                Some(c) => text.push(c),
            }
        }
        self.at = self.source.len() - rest.as_str().len();
        Ok(Kind::Literal(Value::text(text)))
    }
}

/// The character that an escape stands for, after its backslash.
fn unescaped(rest: &mut std::str::Chars<'_>) -> Option<char> {
    let hex = |rest: &mut std::str::Chars<'_>, digits: usize| {
        let text = rest.as_str().get(..digits)?;
        let code = u32::from_str_radix(text, 16).ok()?;
        rest.nth(digits - 1);
        char::from_u32(code)
    };
    Some(match rest.next()? {
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        c @ ('\\' | '\'' | '"' | '`') => c,
        'x' => hex(rest, 2)?,
        'u' => hex(rest, 4)?,
        'U' => hex(rest, 8)?,
        _ => return None,
    })
}
