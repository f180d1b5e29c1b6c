//! The schema compiled into a tree that mirrors the record, made once.

use std::collections::HashMap;

use super::Record;
use super::leaf::Leaf;
use crate::schema::{ACTIVITY_ID, ActivitySchema, CREATED, Column, Kind, Source, TIMESTAMP};

/// Position of a node in [`Tree::nodes`].
pub(super) type NodeId = usize;
/// Position of a leaf's builder.
pub(super) type LeafId = usize;
/// Position of a list's builder.
pub(super) type ListId = usize;

/// What the schema expects at one place of the record.
pub(super) struct Node {
    /// The key under which it lies in its parent; empty for the record and for list elements.
    pub(super) key: String,
    /// The path in the record, list elements as `[]`.
    pub(super) path: String,
    pub(super) expects: Expects,
}

pub(super) enum Expects {
    /// An object with these children by key.
    Object(HashMap<Vec<u8>, NodeId>),
    /// Any value, read by a leaf.
    Leaf(LeafId),
    /// A list of objects, each like the node `item`.
    List { list: ListId, item: NodeId },
}

/// Where a column's array comes from, in the schema's order.
pub(super) enum Output {
    Leaf(LeafId),
    List(ListId),
    /// Not from the record: filled in when the page ends.
    Page(String),
}

/// The builders of a list of objects.
pub(super) struct ListPlan {
    /// The column in the schema.
    pub(super) column: usize,
    /// The builders of the members, in order.
    pub(super) leaves: Vec<LeafId>,
    /// What an item takes in the columns beside its text, in bytes.
    pub(super) item_bytes: usize,
}

/// The compiled schema.
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
    /// For every leaf, how to make its builder.
    pub(super) leaves: Vec<Column>,
    /// The leaves that get one value a record.
    pub(super) record_leaves: Vec<LeafId>,
    pub(super) lists: Vec<ListPlan>,
    pub(super) outputs: Vec<Output>,
    /// What a record takes in the columns beside its text, in bytes.
    pub(super) record_bytes: usize,
    pub(super) id_leaf: LeafId,
    pub(super) timestamp_leaf: LeafId,
    pub(super) created_leaf: LeafId,
}

/// The node of the record itself.
pub(super) const ROOT: NodeId = 0;

impl Tree {
    /// Compiles the schema.
    pub(super) fn compile(schema: &ActivitySchema) -> Self {
        let root = Node {
            key: String::new(),
            path: String::new(),
            expects: Expects::Object(HashMap::new()),
        };
        let mut tree = Self {
            nodes: vec![root],
            leaves: Vec::new(),
            record_leaves: Vec::new(),
            lists: Vec::new(),
            outputs: Vec::new(),
            record_bytes: size_of::<Record>(),
            id_leaf: 0,
            timestamp_leaf: 0,
            created_leaf: 0,
        };
        for (position, column) in schema.columns.iter().enumerate() {
            let output = match (column.source, column.kind) {
                (Source::Record, Kind::ObjectList) => Output::List(tree.add_list(position, column)),
                (Source::Record, _) => {
                    let leaf = tree.add_leaf(ROOT, column);
                    tree.record_leaves.push(leaf);
                    match column.name.as_str() {
                        ACTIVITY_ID => tree.id_leaf = leaf,
                        TIMESTAMP => tree.timestamp_leaf = leaf,
                        CREATED => tree.created_leaf = leaf,
                        _ => {}
                    }
                    Output::Leaf(leaf)
                }
                (Source::Decode | Source::Ingest, _) => Output::Page(column.name.clone()),
            };
            tree.outputs.push(output);
            tree.record_bytes += value_bytes(column);
        }
        tree
    }

    /// Fresh builders for all leaves.
    pub(super) fn builders(&self) -> Vec<Leaf> {
        let builder =
            |column| Leaf::for_column(column).expect("leaves are made of leaf kinds only");
        self.leaves.iter().map(builder).collect()
    }

    fn add_leaf(&mut self, below: NodeId, column: &Column) -> LeafId {
        let leaf = self.leaves.len();
        self.leaves.push(column.clone());
        self.add_path(below, &column.path, Expects::Leaf(leaf));
        leaf
    }

    fn add_list(&mut self, position: usize, column: &Column) -> ListId {
        let item = self.nodes.len();
        self.nodes.push(Node {
            key: String::new(),
            path: format!("{}[]", column.path),
            expects: Expects::Object(HashMap::new()),
        });
        let leaves = column
            .items
            .iter()
            .map(|member| self.add_leaf(item, member))
            .collect();
        let list = self.lists.len();
        self.lists.push(ListPlan {
            column: position,
            leaves,
            item_bytes: 1 + column.items.iter().map(value_bytes).sum::<usize>(),
        });
        self.add_path(ROOT, &column.path, Expects::List { list, item });
        list
    }

    /// Adds a node at a dotted path below another, with the objects on the way.
    fn add_path(&mut self, below: NodeId, path: &str, expects: Expects) {
        let (parents, key) = path.rsplit_once('.').unwrap_or(("", path));
        let mut parent = below;
        for key in parents.split('.').filter(|key| !key.is_empty()) {
            parent = match self.child(parent, key.as_bytes()) {
                Some(node) => node,
                None => self.add_child(parent, key, Expects::Object(HashMap::new())),
            };
        }
        self.add_child(parent, key, expects);
    }

    fn add_child(&mut self, parent: NodeId, key: &str, expects: Expects) -> NodeId {
        let node = self.nodes.len();
        let above = &self.nodes[parent].path;
        let path = if above.is_empty() {
            key.to_owned()
        } else {
            format!("{above}.{key}")
        };
        self.nodes.push(Node {
            key: key.to_owned(),
            path,
            expects,
        });
        match &mut self.nodes[parent].expects {
            Expects::Object(children) => {
                let before = children.insert(key.as_bytes().to_vec(), node);
                assert!(before.is_none(), "the schema maps {key} twice");
            }
            Expects::Leaf(_) | Expects::List { .. } => {
                panic!("the schema maps {key} below a value")
            }
        }
        node
    }

    /// The child of an object under a key.
    pub(super) fn child(&self, parent: NodeId, key: &[u8]) -> Option<NodeId> {
        match &self.nodes[parent].expects {
            Expects::Object(children) => children.get(key).copied(),
            Expects::Leaf(_) | Expects::List { .. } => None,
        }
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
