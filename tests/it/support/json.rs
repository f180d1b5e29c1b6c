//! When two texts are the same JSON value: an independent reading, without a bound on depth or on
//! the size of numbers.

use std::collections::BTreeMap;

/// A JSON value, for comparing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Json {
    Literal(String),
    /// Sign, digits without zeros at either end, and the power of ten.
    Number(bool, String, i64),
    /// UTF-16 code units: a lone surrogate is one.
    Text(Vec<u16>),
    List(Vec<Json>),
    Object(BTreeMap<Vec<u16>, Json>),
}

/// Reads a valid JSON text.
pub(crate) fn parse(text: &str) -> Json {
    let mut reader = Reader {
        bytes: text.as_bytes(),
        at: 0,
    };
    let value = reader.value();
    reader.space();
    assert_eq!(
        reader.at,
        reader.bytes.len(),
        "text after the value: {text}"
    );
    value
}

struct Reader<'t> {
    bytes: &'t [u8],
    at: usize,
}

enum Open {
    List(Vec<Json>),
    Object(BTreeMap<Vec<u16>, Json>, Vec<u16>),
}

impl Reader<'_> {
    fn space(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn peek(&mut self) -> u8 {
        self.space();
        self.bytes[self.at]
    }

    fn value(&mut self) -> Json {
        let mut open: Vec<Open> = Vec::new();
        loop {
            let mut value = match self.peek() {
                b'{' => {
                    self.at += 1;
                    if self.peek() == b'}' {
                        self.at += 1;
                        Json::Object(BTreeMap::new())
                    } else {
                        let key = self.key();
                        open.push(Open::Object(BTreeMap::new(), key));
                        continue;
                    }
                }
                b'[' => {
                    self.at += 1;
                    if self.peek() == b']' {
                        self.at += 1;
                        Json::List(Vec::new())
                    } else {
                        open.push(Open::List(Vec::new()));
                        continue;
                    }
                }
                b'"' => Json::Text(self.text()),
                _ => self.scalar(),
            };
            loop {
                match open.pop() {
                    None => return value,
                    Some(Open::List(mut list)) => {
                        list.push(value);
                        if self.peek() == b',' {
                            self.at += 1;
                            open.push(Open::List(list));
                            break;
                        }
                        self.at += 1;
                        value = Json::List(list);
                    }
                    Some(Open::Object(mut members, key)) => {
                        assert!(members.insert(key, value).is_none(), "a key twice");
                        if self.peek() == b',' {
                            self.at += 1;
                            let key = self.key();
                            open.push(Open::Object(members, key));
                            break;
                        }
                        self.at += 1;
                        value = Json::Object(members);
                    }
                }
            }
        }
    }

    fn key(&mut self) -> Vec<u16> {
        assert_eq!(self.peek(), b'"');
        let key = self.text();
        assert_eq!(self.peek(), b':');
        self.at += 1;
        key
    }

    fn text(&mut self) -> Vec<u16> {
        self.at += 1;
        let mut units = Vec::new();
        loop {
            let rest = std::str::from_utf8(&self.bytes[self.at..]).unwrap();
            let c = rest.chars().next().unwrap();
            self.at += c.len_utf8();
            match c {
                '"' => return units,
                '\\' => {
                    let escape = self.bytes[self.at];
                    self.at += 1;
                    units.push(match escape {
                        b'u' => {
                            let hex =
                                std::str::from_utf8(&self.bytes[self.at..self.at + 4]).unwrap();
                            self.at += 4;
                            u16::from_str_radix(hex, 16).unwrap()
                        }
                        b'b' => 8,
                        b'f' => 12,
                        b'n' => 10,
                        b'r' => 13,
                        b't' => 9,
                        other => u16::from(other),
                    });
                }
                c => units.extend(c.encode_utf16(&mut [0; 2]).iter()),
            }
        }
    }

    fn scalar(&mut self) -> Json {
        let start = self.at;
        while self
            .bytes
            .get(self.at)
            .is_some_and(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b))
        {
            self.at += 1;
        }
        let token = std::str::from_utf8(&self.bytes[start..self.at]).unwrap();
        if token.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Json::Literal(token.to_owned());
        }
        let (mantissa, exponent) = token.split_once(['e', 'E']).unwrap_or((token, "0"));
        let (negative, mantissa) = (mantissa.starts_with('-'), mantissa.trim_start_matches('-'));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let kept = digits.trim_end_matches('0');
        let zeros = i64::try_from(digits.len() - kept.len()).unwrap();
        let power =
            exponent.parse::<i64>().unwrap() - i64::try_from(fraction.len()).unwrap() + zeros;
        let kept = kept.trim_start_matches('0');
        if kept.is_empty() {
            return Json::Number(false, String::new(), 0);
        }
        Json::Number(negative, kept.to_owned(), power)
    }
}
