//! Changes to the records of one page, as text.

use serde_json::Value;

use super::{Change, Repeat};

/// A record on its way into a page.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Where it comes from, in the tenant.
    pub(crate) entry: u32,
    /// `_id`, where it is a string; for the log.
    pub(crate) id: Option<String>,
    pub(crate) bytes: Vec<u8>,
}

impl Row {
    pub(crate) fn change(&mut self, change: &Change) {
        match change {
            Change::Replace(json) => self.bytes = json.clone().into_bytes(),
            Change::Set { pointer, json } => {
                let value =
                    serde_json::from_str(json).unwrap_or_else(|_| Value::String(json.clone()));
                self.edit(|record| set(record, pointer, value));
            }
            Change::Remove { pointer } => self.edit(|record| remove(record, pointer)),
            Change::AppendMember(member) => {
                if self.bytes.last() == Some(&b'}') {
                    self.bytes.pop();
                    self.bytes.push(b',');
                    self.bytes.extend_from_slice(member.as_bytes());
                    self.bytes.push(b'}');
                }
            }
            Change::InvalidUtf8 => self.spoil(),
        }
        self.id = serde_json::from_slice::<Value>(&self.bytes)
            .ok()
            .and_then(|record| Some(record.get("_id")?.as_str()?.to_owned()))
            .or_else(|| {
                self.id
                    .take()
                    .filter(|_| matches!(change, Change::InvalidUtf8))
            });
    }

    /// The same record again.
    pub(crate) fn repeated(&self, how: Repeat) -> Self {
        let mut row = self.clone();
        match how {
            Repeat::Exact => {}
            Repeat::Reordered => {
                if let Ok(record) = serde_json::from_slice(&row.bytes) {
                    let mut text = String::new();
                    reversed(&record, &mut text);
                    row.bytes = text.into_bytes();
                }
            }
            Repeat::Changed => row.edit(|record| set(record, "/confidenceLevel", Value::from(99))),
        }
        row
    }

    fn edit(&mut self, change: impl FnOnce(&mut Value)) {
        if let Ok(mut record) = serde_json::from_slice::<Value>(&self.bytes) {
            change(&mut record);
            self.bytes = record.to_string().into_bytes();
        }
    }

    /// Puts 0xFF inside the value of `description`, or else at the end of the record's first string value.
    fn spoil(&mut self) {
        let after = |needle: &[u8]| {
            let found = self
                .bytes
                .windows(needle.len())
                .position(|window| window == needle);
            found.map(|at| at + needle.len())
        };
        if let Some(at) = after(b"\"description\":\"").or_else(|| after(b":\"")) {
            self.bytes.insert(at, 0xff);
        }
    }
}

/// Bytes that begin like JSON and are not.
pub(crate) fn mangle(body: &mut Vec<u8>) {
    body.truncate(body.len() / 2);
    body.extend_from_slice(b"\"}]]:,,<<<");
}

fn set(record: &mut Value, pointer: &str, value: Value) {
    let mut at = record;
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        at = child(at, token);
    }
    *at = value;
}

/// The member or element `token`; made, where it is missing.
fn child(parent: &mut Value, token: String) -> &mut Value {
    let index = token.parse::<usize>().ok();
    if let (Some(items), Some(index)) = (parent.as_array().map(Vec::len), index)
        && index < items
    {
        return &mut parent[index];
    }
    if !parent.is_object() {
        *parent = Value::Object(serde_json::Map::new());
    }
    &mut parent[token]
}

fn remove(record: &mut Value, pointer: &str) {
    let (parent, member) = pointer.rsplit_once('/').unwrap_or(("", pointer));
    if let Some(Value::Object(members)) = record.pointer_mut(parent) {
        members.remove(member);
    }
}

/// Writes members last to first, with blanks.
fn reversed(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            out.push_str("{ ");
            for (at, (key, member)) in members.iter().rev().enumerate() {
                if at > 0 {
                    out.push_str(" ,\n");
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push_str(" : ");
                reversed(member, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push_str("[ ");
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                reversed(item, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}
