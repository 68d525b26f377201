//! Tokens to a filter or an order, checked against what the records have.

use super::lex::{Placed, Token, lex};
use super::schema::{Kind, Schema};
use super::{
    CONDITIONS_MAX, Comparison, Condition, Field, Filter, IN_VALUES_MAX, Literal, ORDER_KEYS_MAX,
    OrderBy, SearchError,
};

/// Tokens that are left, of one text.
struct Parser<'t> {
    text: &'t str,
    schema: Schema,
    tokens: std::iter::Peekable<std::vec::IntoIter<Placed>>,
}

impl Filter {
    /// Reads a filter; an empty text is the filter that always holds.
    pub(in crate::tracking) fn parse(schema: Schema, text: &str) -> Result<Self, SearchError> {
        let mut parser = Parser::new(schema, text)?;
        let mut filter = Self::default();
        if parser.tokens.peek().is_none() {
            return Ok(filter);
        }
        loop {
            if filter.conditions.len() == CONDITIONS_MAX {
                let allowed = format!("a filter has at most {CONDITIONS_MAX} conditions");
                return Err(parser.error("one condition too many", allowed));
            }
            filter.conditions.push(parser.condition()?);
            match parser.tokens.peek() {
                None => return Ok(filter),
                Some((Token::Word(word), _)) if word.eq_ignore_ascii_case("and") => {
                    parser.tokens.next();
                }
                Some(_) => {
                    let allowed =
                        "conditions are joined by AND alone, without OR and parentheses".to_owned();
                    return Err(parser.error("a condition is over", allowed));
                }
            }
        }
    }
}

impl OrderBy {
    /// Reads `FIELD`, `FIELD ASC` or `FIELD DESC`.
    pub(in crate::tracking) fn parse(schema: Schema, text: &str) -> Result<Self, SearchError> {
        let mut parser = Parser::new(schema, text)?;
        let field = parser.field()?;
        let allowed = || "an order is FIELD, FIELD ASC or FIELD DESC".to_owned();
        let descending = match parser.tokens.next() {
            None => false,
            Some((Token::Word(word), _)) if word.eq_ignore_ascii_case("asc") => false,
            Some((Token::Word(word), _)) if word.eq_ignore_ascii_case("desc") => true,
            Some((_, at)) => return Err(parser.error_at(at, "neither ASC nor DESC", allowed())),
        };
        match parser.tokens.peek() {
            None => Ok(Self { field, descending }),
            Some(_) => Err(parser.error("the order is over", allowed())),
        }
    }

    /// Reads each of a list.
    pub(in crate::tracking) fn parse_all(
        schema: Schema,
        texts: &[String],
    ) -> Result<Vec<Self>, SearchError> {
        if let Some(text) = texts.get(ORDER_KEYS_MAX) {
            return Err(SearchError {
                what: "one key too many".to_owned(),
                at: 1,
                text: text.chars().take(200).collect(),
                allowed: format!("at most {ORDER_KEYS_MAX} keys order a search"),
            });
        }
        texts.iter().map(|text| Self::parse(schema, text)).collect()
    }
}

impl<'t> Parser<'t> {
    fn new(schema: Schema, text: &'t str) -> Result<Self, SearchError> {
        let tokens = lex(text)?.into_iter().peekable();
        Ok(Self {
            text,
            schema,
            tokens,
        })
    }

    fn error_at(&self, at: usize, what: &str, allowed: String) -> SearchError {
        SearchError {
            what: what.to_owned(),
            at,
            text: self.text.chars().take(200).collect(),
            allowed,
        }
    }

    /// An error at the next token.
    fn error(&mut self, what: &str, allowed: String) -> SearchError {
        let end = self.text.chars().count() + 1;
        let at = self.tokens.peek().map_or(end, |(_, at)| *at);
        self.error_at(at, what, allowed)
    }

    fn condition(&mut self) -> Result<Condition, SearchError> {
        let field = self.field()?;
        let kind = self.schema.kind(&field);
        let comparison = self.comparison(&field, kind)?;
        let literal = match (comparison, kind) {
            (Comparison::In | Comparison::NotIn, _) => self.list()?,
            (_, Kind::Number) => self.number(&field)?,
            (_, Kind::Text) => self.text(&field)?,
        };
        Ok(Condition {
            field,
            comparison,
            literal,
        })
    }

    fn field(&mut self) -> Result<Field, SearchError> {
        let allowed = self.schema.allowed();
        let missing = self.error("a field is missing", allowed);
        let (token, at) = self.tokens.next().ok_or(missing)?;
        let read = match &token {
            Token::Name(name) => self.schema.field(None, name),
            Token::Word(word) => match word.split_once('.') {
                // `tags.` before a quoted name.
                Some((entity, "")) => match self.tokens.next() {
                    Some((Token::Name(key) | Token::Double(key), _)) => {
                        self.schema.field(Some(entity), &key)
                    }
                    _ => Err(self.schema.allowed()),
                },
                Some((entity, key)) => self.schema.field(Some(entity), key),
                None => self.schema.field(None, word),
            },
            _ => Err(self.schema.allowed()),
        };
        read.map_err(|allowed| self.error_at(at, "no field that can be asked about", allowed))
    }

    fn comparison(&mut self, field: &Field, kind: Kind) -> Result<Comparison, SearchError> {
        let allowed = match kind {
            Kind::Number => format!("{field} is a number: =, !=, <, <=, >, >= are allowed"),
            Kind::Text => {
                format!("{field} is a text: =, !=, LIKE, ILIKE, IN, NOT IN are allowed")
            }
        };
        let missing = self.error("a comparison is missing", allowed.clone());
        let (token, at) = self.tokens.next().ok_or(missing)?;
        let found = match &token {
            Token::Sign("=") => Some(Comparison::Equal),
            Token::Sign("!=") => Some(Comparison::NotEqual),
            Token::Sign("<") => Some(Comparison::Less),
            Token::Sign("<=") => Some(Comparison::LessOrEqual),
            Token::Sign(">") => Some(Comparison::Greater),
            Token::Sign(">=") => Some(Comparison::GreaterOrEqual),
            Token::Word(word) => match word.to_ascii_lowercase().as_str() {
                "like" => Some(Comparison::Like),
                "ilike" => Some(Comparison::ILike),
                "in" => Some(Comparison::In),
                "not" => self
                    .tokens
                    .next_if(|(token, _)| matches!(token, Token::Word(word) if word.eq_ignore_ascii_case("in")))
                    .map(|_| Comparison::NotIn),
                _ => None,
            },
            _ => None,
        };
        let fits = |comparison: &Comparison| match comparison {
            Comparison::Equal | Comparison::NotEqual => true,
            Comparison::Like | Comparison::ILike | Comparison::In | Comparison::NotIn => {
                kind == Kind::Text
            }
            _ => kind == Kind::Number,
        };
        found
            .filter(fits)
            .ok_or_else(|| self.error_at(at, "no comparison that fits", allowed))
    }

    fn number(&mut self, field: &Field) -> Result<Literal, SearchError> {
        let allowed = format!("{field} is compared with a number, without quotes");
        let missing = self.error("a number is missing", allowed.clone());
        match self.tokens.next().ok_or(missing)? {
            (Token::Number(number), at) => number
                .parse()
                .map(Literal::Number)
                .map_err(|_| self.error_at(at, "no number", allowed)),
            (_, at) => Err(self.error_at(at, "no number", allowed)),
        }
    }

    fn text(&mut self, field: &Field) -> Result<Literal, SearchError> {
        let allowed = format!("{field} is compared with a text in quotes");
        let missing = self.error("a text is missing", allowed.clone());
        match self.tokens.next().ok_or(missing)? {
            (Token::Text(text) | Token::Double(text), _) => Ok(Literal::Text(text)),
            (_, at) => Err(self.error_at(at, "no text in quotes", allowed)),
        }
    }

    fn list(&mut self) -> Result<Literal, SearchError> {
        let allowed = || "a list is ('a', 'b')".to_owned();
        if self
            .tokens
            .next_if(|(token, _)| *token == Token::Sign("("))
            .is_none()
        {
            return Err(self.error("a list is missing", allowed()));
        }
        let mut texts = Vec::new();
        loop {
            let missing = self.error("a list is not closed", allowed());
            match self.tokens.next().ok_or(missing)? {
                (Token::Text(text) | Token::Double(text), _) if texts.len() < IN_VALUES_MAX => {
                    texts.push(text);
                }
                (_, at) => {
                    let allowed = format!("a list is ('a', 'b'), of at most {IN_VALUES_MAX}");
                    return Err(self.error_at(at, "no text in quotes", allowed));
                }
            }
            let missing = self.error("a list is not closed", allowed());
            match self.tokens.next().ok_or(missing)? {
                (Token::Sign(","), _) => {}
                (Token::Sign(")"), _) => return Ok(Literal::List(texts)),
                (_, at) => return Err(self.error_at(at, "neither , nor )", allowed())),
            }
        }
    }
}
