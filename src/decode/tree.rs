//! The schema compiled into a tree that mirrors the record, made once.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use wide::u8x32;

use super::Record;
use crate::schema::{ACTIVITY_ID, ActivitySchema, CREATED, Column, Kind, Source, TIMESTAMP};
use crate::text::look::chunk;

/// Position of a node in the tree.
pub(super) type NodeId = u16;
/// Position of a leaf in [`Tree::leaves`].
pub(super) type LeafId = usize;
/// Position of a list of objects in [`Tree::lists`].
pub(super) type ListId = usize;
/// Position of a table in [`Tree::tables`].
pub(super) type TableId = usize;

/// The node of the record itself.
pub(super) const ROOT: NodeId = 0;
/// The table with a row for every record.
pub(super) const RECORDS: TableId = 0;
/// A byte that is nowhere in UTF-8.
const NEVER_IN_TEXT: u8 = 0xff;
/// The longest token of a key, `"key":`, that is compared at once.
const TOKEN_BYTES: usize = 32;

/// What the schema expects at one place of the record: all that the walk needs for the usual case, in
/// one line of the processor's cache.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(super) struct Node {
    /// `"key":` as it stands in text, filled up with zeros. The record and the elements of lists have no
    /// key: theirs is a byte that no text has.
    token: [u8; TOKEN_BYTES],
    /// A bit for every byte of the token.
    token_bits: u32,
    token_len: u16,
    pub(super) expects: Expects,
    /// Which children came first in this object, latest first; the root is nobody's child.
    pub(super) first: [NodeId; 2],
    /// Which siblings came after this child.
    pub(super) after: [NodeId; 2],
    /// The object in which this child was seen last.
    pub(super) seen: u64,
}

const _: () = assert!(size_of::<Node>() == 64, "a node fits one line");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expects {
    /// An object with children.
    Object,
    /// Any value, read by a leaf.
    Leaf(Kind, u16),
    /// A list of objects, each like the node.
    List(u8, NodeId),
}

impl Node {
    fn new(key: &str, expects: Expects) -> Self {
        let text = match key {
            "" => vec![NEVER_IN_TEXT],
            key => format!("\"{key}\":").into_bytes(),
        };
        assert!(text.len() <= TOKEN_BYTES, "the key {key} is too long");
        let mut token = [0; TOKEN_BYTES];
        token[..text.len()].copy_from_slice(&text);
        Self {
            token,
            token_bits: u32::MAX >> (TOKEN_BYTES - text.len()),
            token_len: u16::try_from(text.len()).expect("checked above"),
            expects,
            first: [ROOT; 2],
            after: [ROOT; 2],
            seen: 0,
        }
    }

    /// The position behind the node's key and its colon, if they are what stands at `at`.
    #[inline]
    pub(super) fn pass(&self, text: &[u8], at: usize) -> Option<usize> {
        let len = usize::from(self.token_len);
        let is_here = match chunk::<TOKEN_BYTES>(text, at) {
            Some(bytes) => {
                let same = u8x32::new(*bytes).simd_eq(u8x32::new(self.token));
                same.to_bitmask() & self.token_bits == self.token_bits
            }
            None => text.get(at..)?.starts_with(&self.token[..len]),
        };
        is_here.then_some(at + len)
    }
}

/// What a node is called.
#[derive(Debug)]
pub(super) struct Name {
    /// The key under which it lies in its parent; empty for the record and for list elements.
    pub(super) key: String,
    /// The path in the record, list elements as `[]`.
    pub(super) path: String,
    /// The children by key.
    children: HashMap<Vec<u8>, NodeId, BuildHasherDefault<KeyHasher>>,
}

/// Where a column's array comes from, in the schema's order.
pub(super) enum Output {
    Leaf(LeafId),
    /// A list of objects, and the column in the schema.
    List(ListId, usize),
    /// Not from the record: filled in when the piece ends.
    Page(String),
}

/// A leaf's column.
#[derive(Debug)]
pub(super) struct LeafPlan {
    pub(super) kind: Kind,
    pub(super) nullable: bool,
    /// Text that is empty where it repeats the id.
    pub(super) copy_of_id: bool,
    /// For a list of objects, the table of its items.
    pub(super) items: Option<TableId>,
}

/// The columns that get their rows together: one for every record, or one for every item of a list.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) leaves: Vec<LeafId>,
    /// Those that are lists.
    pub(super) lists: Vec<LeafId>,
    /// What a row takes in the columns beside its text, in bytes.
    pub(super) row_bytes: usize,
}

/// A list of objects.
#[derive(Debug)]
pub(super) struct ListPlan {
    /// Its outline.
    pub(super) leaf: LeafId,
    /// Its items.
    pub(super) items: TableId,
}

/// The compiled schema.
pub(super) struct Tree {
    pub(super) names: Vec<Name>,
    pub(super) leaves: Vec<LeafPlan>,
    pub(super) tables: Vec<Table>,
    pub(super) lists: Vec<ListPlan>,
    pub(super) outputs: Vec<Output>,
    pub(super) id_leaf: LeafId,
    pub(super) copies_of_id: Vec<LeafId>,
    pub(super) timestamp_leaf: LeafId,
    pub(super) created_leaf: LeafId,
}

impl Tree {
    /// Compiles the schema: what stays as it is, and the nodes, which learn.
    pub(super) fn compile(schema: &ActivitySchema) -> (Self, Vec<Node>) {
        let mut tree = Self {
            names: Vec::new(),
            leaves: Vec::new(),
            tables: vec![Table {
                row_bytes: size_of::<Record>(),
                ..Table::default()
            }],
            lists: Vec::new(),
            outputs: Vec::new(),
            id_leaf: 0,
            copies_of_id: Vec::new(),
            timestamp_leaf: 0,
            created_leaf: 0,
        };
        let mut nodes = Vec::new();
        tree.add_node(&mut nodes, "", String::new(), Expects::Object);
        for (position, column) in schema.columns.iter().enumerate() {
            let output = match (column.source, column.kind) {
                (Source::Record, Kind::ObjectList) => {
                    Output::List(tree.add_list(&mut nodes, column), position)
                }
                (Source::Record, _) => {
                    let leaf = tree.add_leaf(&mut nodes, ROOT, RECORDS, column);
                    match column.name.as_str() {
                        ACTIVITY_ID => tree.id_leaf = leaf,
                        TIMESTAMP => tree.timestamp_leaf = leaf,
                        CREATED => tree.created_leaf = leaf,
                        _ => {}
                    }
                    Output::Leaf(leaf)
                }
                (Source::Decode | Source::Ingest, _) => {
                    tree.tables[RECORDS].row_bytes += value_bytes(column);
                    Output::Page(column.name.clone())
                }
            };
            tree.outputs.push(output);
        }
        (tree, nodes)
    }

    fn add_leaf(
        &mut self,
        nodes: &mut Vec<Node>,
        below: NodeId,
        table: TableId,
        column: &Column,
    ) -> LeafId {
        let leaf = self.plan_leaf(table, column, None);
        let number = u16::try_from(leaf).expect("the schema has few leaves");
        self.add_path(
            nodes,
            below,
            &column.path,
            Expects::Leaf(column.kind, number),
        );
        leaf
    }

    fn plan_leaf(&mut self, table: TableId, column: &Column, items: Option<TableId>) -> LeafId {
        let leaf = self.leaves.len();
        if column.copy_of_id {
            self.copies_of_id.push(leaf);
        }
        self.leaves.push(LeafPlan {
            kind: column.kind,
            nullable: column.nullable,
            copy_of_id: column.copy_of_id,
            items,
        });
        let table = &mut self.tables[table];
        table.leaves.push(leaf);
        table.row_bytes += value_bytes(column);
        if matches!(column.kind, Kind::StringList | Kind::ObjectList) {
            table.lists.push(leaf);
        }
        leaf
    }

    fn add_list(&mut self, nodes: &mut Vec<Node>, column: &Column) -> ListId {
        let items = self.tables.len();
        self.tables.push(Table::default());
        let leaf = self.plan_leaf(RECORDS, column, Some(items));
        let list = self.lists.len();
        self.lists.push(ListPlan { leaf, items });
        let item = self.add_node(nodes, "", format!("{}[]", column.path), Expects::Object);
        for member in &column.items {
            self.add_leaf(nodes, item, items, member);
        }
        let number = u8::try_from(list).expect("the schema has few lists");
        self.add_path(nodes, ROOT, &column.path, Expects::List(number, item));
        list
    }

    /// Adds a node at a dotted path below another, with the objects on the way.
    fn add_path(&mut self, nodes: &mut Vec<Node>, below: NodeId, path: &str, expects: Expects) {
        let (parents, key) = path.rsplit_once('.').unwrap_or(("", path));
        let mut parent = below;
        for key in parents.split('.').filter(|key| !key.is_empty()) {
            parent = match self.child(parent, key.as_bytes()) {
                Some(node) => node,
                None => self.add_child(nodes, parent, key, Expects::Object),
            };
        }
        self.add_child(nodes, parent, key, expects);
    }

    fn add_child(
        &mut self,
        nodes: &mut Vec<Node>,
        parent: NodeId,
        key: &str,
        expects: Expects,
    ) -> NodeId {
        assert_eq!(
            nodes[usize::from(parent)].expects,
            Expects::Object,
            "the schema maps {key} below a value"
        );
        let above = &self.names[usize::from(parent)].path;
        let path = if above.is_empty() {
            key.to_owned()
        } else {
            format!("{above}.{key}")
        };
        let node = self.add_node(nodes, key, path, expects);
        let siblings = &mut self.names[usize::from(parent)].children;
        let before = siblings.insert(key.as_bytes().to_vec(), node);
        assert!(before.is_none(), "the schema maps {key} twice");
        node
    }

    fn add_node(
        &mut self,
        nodes: &mut Vec<Node>,
        key: &str,
        path: String,
        expects: Expects,
    ) -> NodeId {
        let node = NodeId::try_from(nodes.len()).expect("the schema has few paths");
        nodes.push(Node::new(key, expects));
        self.names.push(Name {
            key: key.to_owned(),
            path,
            children: HashMap::default(),
        });
        node
    }

    /// The child of an object under a key.
    pub(super) fn child(&self, parent: NodeId, key: &[u8]) -> Option<NodeId> {
        self.names[usize::from(parent)].children.get(key).copied()
    }
}

/// What a value of a column takes beside its text, in bytes: the value or its offset, and its share of
/// the bits for null.
fn value_bytes(column: &Column) -> usize {
    1 + match column.kind {
        Kind::Bool => 0,
        Kind::Int64 | Kind::Double | Kind::Time => 8,
        Kind::String | Kind::Json | Kind::StringList | Kind::ObjectList => 4,
    }
}

/// Hashes the schema's own keys, which nobody can choose: quick, and no more.
#[derive(Debug, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            let mixed = self.0.rotate_left(5) ^ u64::from_le_bytes(word);
            self.0 = mixed.wrapping_mul(0x517c_c1b7_2722_0a95);
        }
    }

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}
