//! A text becomes parts.

use serde_json::{Number, Value};

use super::{DEEPEST, Filter, Node, Part, PathError, Slice, To, error};

/// The characters that are left to read.
struct Reader<'a> {
    rest: &'a str,
    depth: usize,
}

/// All parts of a text; `depth` is how deep in filters it stands.
pub(super) fn parse(text: &str, depth: usize) -> Result<Vec<Part>, PathError> {
    if depth > DEEPEST {
        return Err(error(format!(
            "the path is nested too deep: at most {DEEPEST} levels are accepted"
        )));
    }
    let mut parts = Vec::new();
    let mut reader = Reader { rest: text, depth };
    while let Some((before, inside)) = reader.rest.split_once('{') {
        if !before.is_empty() {
            parts.push(Part::Text(before.to_owned()));
        }
        reader.rest = inside;
        parts.push(Part::Path(reader.path()?));
    }
    if !reader.rest.is_empty() {
        parts.push(Part::Text(reader.rest.to_owned()));
    }
    ranges_end(&parts)?;
    Ok(parts)
}

/// Every range has its end. An end without a range is told when the path is looked up.
fn ranges_end(parts: &[Part]) -> Result<(), PathError> {
    let mut open = 0_usize;
    for node in parts.iter().flat_map(nodes) {
        match node {
            Node::Range => open += 1,
            Node::End => open = open.saturating_sub(1),
            _ => {}
        }
    }
    match open {
        0 => Ok(()),
        _ => Err(error("unclosed range: {end} is missing")),
    }
}

fn nodes(part: &Part) -> &[Node] {
    match part {
        Part::Path(nodes) => nodes,
        Part::Text(_) => &[],
    }
}

/// The nodes of a path that stands alone, as in a filter.
fn action(text: &str, depth: usize) -> Result<Vec<Node>, PathError> {
    let parts = parse(&format!("{{{text}}}"), depth + 1)?;
    match parts.into_iter().next() {
        Some(Part::Path(nodes)) => Ok(nodes),
        _ => Ok(Vec::new()),
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let next = characters.next();
        self.rest = characters.as_str();
        next
    }

    /// Everything up to where `is_end` says.
    fn until(&mut self, is_end: impl Fn(char) -> bool) -> &'a str {
        let at = self.rest.find(is_end).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(at);
        self.rest = rest;
        taken
    }

    /// What stands in braces; the opening one is read.
    fn path(&mut self) -> Result<Vec<Node>, PathError> {
        let mut nodes = Vec::new();
        loop {
            if let Some(rest) = self.rest.strip_prefix('}') {
                self.rest = rest;
                return Ok(nodes);
            }
            if let Some(rest) = self.rest.strip_prefix("[?(") {
                self.rest = rest;
                nodes.push(self.filter()?);
            } else if let Some(rest) = self.rest.strip_prefix("..") {
                self.rest = rest;
                self.recursive(&mut nodes)?;
            } else {
                self.node(&mut nodes)?;
            }
        }
    }

    fn node(&mut self, nodes: &mut Vec<Node>) -> Result<(), PathError> {
        let here = self.rest;
        match self.next() {
            None | Some('\r' | '\n') => return Err(error("unclosed action")),
            Some(' ' | '@' | '$') => {}
            Some('[') => self.list(nodes)?,
            Some(quote @ ('"' | '\'')) => nodes.push(self.quoted(quote)?),
            Some('.') => nodes.push(self.field()),
            Some(first) if first == '+' || first == '-' || first.is_numeric() => {
                self.rest = here;
                nodes.push(self.number()?);
            }
            Some(first) if is_alphanumeric(first) => {
                self.rest = here;
                nodes.push(word(self.until(is_terminator)));
            }
            Some(other) => {
                return Err(error(format!(
                    "unrecognized character in action: U+{:04X} '{other}'",
                    u32::from(other)
                )));
            }
        }
        Ok(())
    }

    fn recursive(&mut self, nodes: &mut Vec<Node>) -> Result<(), PathError> {
        if nodes.last() == Some(&Node::Recursive) {
            return Err(error("invalid multiple recursive descent"));
        }
        nodes.push(Node::Recursive);
        if self.rest.chars().next().is_some_and(is_alphanumeric) {
            nodes.push(self.field());
        }
        Ok(())
    }

    fn field(&mut self) -> Node {
        let mut name = String::new();
        loop {
            name.push_str(self.until(|c| c == '\\' || is_terminator(c)));
            if !self.rest.starts_with('\\') {
                break;
            }
            self.next();
            name.extend(self.next());
        }
        if name == "*" {
            Node::Wildcard
        } else {
            Node::Field(name)
        }
    }

    fn number(&mut self) -> Result<Node, PathError> {
        let start = self.rest;
        if start.starts_with(['+', '-']) {
            self.next();
        }
        self.until(|c| c != '.' && !c.is_numeric());
        let text = &start[..start.len() - self.rest.len()];
        let whole = text.parse::<i64>().ok().map(Number::from);
        let number = whole.or_else(|| Number::from_f64(text.parse().ok()?));
        let number = number.ok_or_else(|| error(format!("cannot parse number {text}")))?;
        Ok(Node::Literal(Value::Number(number)))
    }

    /// The text of a quote whose opening mark is read.
    fn quoted(&mut self, quote: char) -> Result<Node, PathError> {
        let mut text = String::new();
        loop {
            match self.next() {
                None | Some('\n') => return Err(error("unterminated quoted string")),
                Some(character) if character == quote => return Ok(Node::Text(text)),
                Some('\\') => text.push(self.escaped()?),
                Some(character) => text.push(character),
            }
        }
    }

    /// The character that an escape means, by Go's rules.
    fn escaped(&mut self) -> Result<char, PathError> {
        let wrong = || error("unquote string error invalid syntax");
        let digits = match self.next().ok_or_else(wrong)? {
            'n' => return Ok('\n'),
            't' => return Ok('\t'),
            'r' => return Ok('\r'),
            'a' => return Ok('\u{7}'),
            'b' => return Ok('\u{8}'),
            'f' => return Ok('\u{c}'),
            'v' => return Ok('\u{b}'),
            same @ ('\\' | '\'' | '"') => return Ok(same),
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => return Err(wrong()),
        };
        let code = self.rest.get(..digits).ok_or_else(wrong)?;
        self.rest = &self.rest[digits..];
        let code = u32::from_str_radix(code, 16).map_err(|_| wrong())?;
        char::from_u32(code).ok_or_else(wrong)
    }

    /// An index, a slice, a name in quotes, or several of them; the opening bracket is read.
    fn list(&mut self, nodes: &mut Vec<Node>) -> Result<(), PathError> {
        let text = self.until(|c| c == ']' || c == '\n');
        if self.next() != Some(']') {
            return Err(error("unterminated array"));
        }
        if text.contains(',') {
            let members = text.split(',').map(|member| {
                let member = member.trim_matches(' ');
                action(&format!("[{member}]"), self.depth)
            });
            nodes.push(Node::Union(members.collect::<Result<_, _>>()?));
            return Ok(());
        }
        if let Some(name) = name_in_quotes(text) {
            nodes.extend(action(&format!(".{name}"), self.depth)?);
            return Ok(());
        }
        nodes.push(Node::Slice(slice(if text == "*" { ":" } else { text })?));
        Ok(())
    }

    /// A filter whose `[?(` is read.
    fn filter(&mut self) -> Result<Node, PathError> {
        let text = self.filter_text()?;
        let depth = self.depth;
        let is_operator = |c| matches!(c, '!' | '<' | '>' | '=');
        let compared = text.find(is_operator).filter(|at| *at > 0).and_then(|at| {
            let (left, rest) = text.split_at(at);
            let end = rest.find(|c| !is_operator(c))?;
            Some((left, &rest[..end], &rest[end..]))
        });
        let filter = match compared {
            Some((left, operator, right)) => Filter {
                left: action(left, depth)?,
                comparison: Some((operator.to_owned(), action(right, depth)?)),
            },
            None => Filter {
                left: action(text, depth)?,
                comparison: None,
            },
        };
        Ok(Node::Filter(Box::new(filter)))
    }

    /// The text up to the filter's end. A quote may hold a closing bracket.
    fn filter_text(&mut self) -> Result<&'a str, PathError> {
        let whole = self.rest;
        let (mut pair, mut closed, mut before) = (None, false, '(');
        loop {
            let Some(character) = self.next().filter(|c| *c != '\n') else {
                return Err(error("unterminated filter"));
            };
            match character {
                '"' | '\'' if pair.is_none() => pair = Some(character),
                '"' | '\'' if pair == Some(character) && before != '\\' => closed = true,
                ')' if pair.is_some() == closed => break,
                _ => {}
            }
            before = character;
        }
        let text = &whole[..whole.len() - self.rest.len() - 1];
        if self.next() != Some(']') {
            return Err(error("unclosed array expect ]"));
        }
        Ok(text)
    }
}

fn word(text: &str) -> Node {
    match text {
        "true" | "false" => Node::Literal(Value::Bool(text == "true")),
        "range" => Node::Range,
        "end" => Node::End,
        other => Node::Unknown(other.to_owned()),
    }
}

fn name_in_quotes(text: &str) -> Option<&str> {
    let name = text.strip_prefix('\'')?.strip_suffix('\'')?;
    (!name.contains('\'')).then_some(name)
}

fn slice(text: &str) -> Result<Slice, PathError> {
    let invalid = || error(format!("invalid array index {text}"));
    let mut numbers = text.split(':').map(|number| {
        let digits = number.strip_prefix('-').unwrap_or(number);
        if digits.chars().any(|c| !c.is_ascii_digit()) {
            return Err(invalid());
        }
        let not_a_number = |_| error(format!("array index {number} is not a number"));
        match number {
            "" => Ok(None),
            _ => number.parse::<i64>().map(Some).map_err(not_a_number),
        }
    });
    let from = numbers.next().transpose()?.flatten();
    let to = match numbers.next().transpose()? {
        None => To::AfterIndex(from.unwrap_or(0).saturating_add(1)),
        Some(None) => To::Open,
        Some(Some(number)) => To::At(number),
    };
    let step = numbers.next().transpose()?.flatten();
    match numbers.next() {
        None => Ok(Slice { from, to, step }),
        Some(_) => Err(invalid()),
    }
}

fn is_terminator(character: char) -> bool {
    matches!(
        character,
        ' ' | '\t' | '\r' | '\n' | '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}'
    )
}

fn is_alphanumeric(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}
