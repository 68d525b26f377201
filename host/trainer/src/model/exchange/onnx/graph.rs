//! Putting a graph together: nodes, constants, inputs and outputs by name. Refuses to know what the graph computes.

use super::proto::{
    AttributeProto, DimensionProto, FLOAT, GraphProto, NodeProto, TensorProto, TensorShapeProto,
    TensorTypeProto, TypeProto, ValueInfoProto,
};

/// `AttributeProto.AttributeType`.
mod kind {
    pub(super) const FLOAT: i32 = 1;
    pub(super) const INT: i32 = 2;
    pub(super) const STRING: i32 = 3;
    pub(super) const FLOATS: i32 = 6;
    pub(super) const INTS: i32 = 7;
    pub(super) const STRINGS: i32 = 8;
}

/// A graph that grows.
#[derive(Default)]
pub(super) struct Graph(pub(super) GraphProto);

impl Graph {
    /// Adds a node of the default operator set.
    pub(super) fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        output: &str,
        attributes: Vec<AttributeProto>,
    ) {
        self.node_of("", operator, inputs, &[output], attributes);
    }

    /// Adds a node of operator set `domain`.
    pub(super) fn node_of(
        &mut self,
        domain: &str,
        operator: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) {
        let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        self.0.node.push(NodeProto {
            input: texts(inputs),
            output: texts(outputs),
            name: Some(format!("{operator}_{}", self.0.node.len())),
            op_type: Some(operator.to_owned()),
            attribute: attributes,
            domain: Some(domain.to_owned()),
        });
    }

    /// Adds a constant; no dimensions make a single number.
    pub(super) fn constant(&mut self, name: &str, dims: &[usize], values: Vec<f32>) {
        self.0.initializer.push(TensorProto {
            dims: dims.iter().map(|dim| int(*dim)).collect(),
            data_type: Some(FLOAT),
            float_data: values,
            name: Some(name.to_owned()),
        });
    }

    pub(super) fn input(&mut self, name: &str, columns: usize) {
        self.0.input.push(value(name, FLOAT, Some(columns)));
    }

    /// An output of one row a row of the input; without columns it has no second dimension.
    pub(super) fn output(&mut self, name: &str, kind: i32, columns: Option<usize>) {
        self.0.output.push(value(name, kind, columns));
    }
}

fn value(name: &str, kind: i32, columns: Option<usize>) -> ValueInfoProto {
    let rows = DimensionProto {
        dim_value: None,
        dim_param: Some("rows".to_owned()),
    };
    let columns = columns.map(|columns| DimensionProto {
        dim_value: Some(int(columns)),
        dim_param: None,
    });
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: Some(kind),
                shape: Some(TensorShapeProto {
                    dim: std::iter::once(rows).chain(columns).collect(),
                }),
            }),
        }),
    }
}

pub(super) fn int(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn named(name: &str, kind: i32) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(kind),
        ..AttributeProto::default()
    }
}

pub(super) fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto {
        f: Some(f),
        ..named(name, kind::FLOAT)
    }
}

pub(super) fn integer(name: &str, i: i64) -> AttributeProto {
    AttributeProto {
        i: Some(i),
        ..named(name, kind::INT)
    }
}

pub(super) fn string(name: &str, text: &str) -> AttributeProto {
    AttributeProto {
        s: Some(text.as_bytes().to_vec()),
        ..named(name, kind::STRING)
    }
}

pub(super) fn floats(name: &str, floats: Vec<f32>) -> AttributeProto {
    AttributeProto {
        floats,
        ..named(name, kind::FLOATS)
    }
}

pub(super) fn integers(name: &str, ints: Vec<i64>) -> AttributeProto {
    AttributeProto {
        ints,
        ..named(name, kind::INTS)
    }
}

pub(super) fn strings(name: &str, texts: &[&str]) -> AttributeProto {
    AttributeProto {
        strings: texts.iter().map(|text| text.as_bytes().to_vec()).collect(),
        ..named(name, kind::STRINGS)
    }
}
