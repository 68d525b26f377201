//! The contract only grows: what was released is frozen in `wit/since-VERSION/`, and everything in it is in `wit/` unchanged.

use airlock_tests::root;
use std::collections::BTreeMap;
use std::path::Path;
use wit_parser::{
    FunctionKind, Handle, InterfaceId, Resolve, Type, TypeDefKind, TypeId, WorldItem, WorldKey,
};

/// Every item of a contract by its full name, with everything about it that a guest relies on.
fn items(folder: &Path) -> BTreeMap<String, String> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(folder).expect("a contract that parses");
    let package = &resolve.packages[package];
    let mut items = BTreeMap::new();
    for (name, id) in &package.interfaces {
        interface(&resolve, name, *id, &mut items);
    }
    for (name, id) in &package.worlds {
        let world = &resolve.worlds[*id];
        for (kind, part) in [("imports", &world.imports), ("exports", &world.exports)] {
            for (key, item) in part {
                let key = match (key, item) {
                    (WorldKey::Name(name), _) => name.clone(),
                    (WorldKey::Interface(id), WorldItem::Interface { .. }) => {
                        resolve.interfaces[*id].name.clone().expect("a name")
                    }
                    other => panic!("{other:?}"),
                };
                items.insert(format!("world {name} {kind} {key}"), String::new());
            }
        }
    }
    items
}

fn interface(resolve: &Resolve, name: &str, id: InterfaceId, items: &mut BTreeMap<String, String>) {
    let interface = &resolve.interfaces[id];
    for (type_name, id) in &interface.types {
        items.insert(format!("{name}/{type_name}"), definition(resolve, *id));
    }
    for (function_name, function) in &interface.functions {
        let params = function.params.iter();
        let params: Vec<String> = params
            .map(|param| format!("{}: {}", param.name, named(resolve, &param.ty)))
            .collect();
        let result = function.result.as_ref();
        let result = result.map_or_else(String::new, |result| named(resolve, result));
        let kind = match function.kind {
            FunctionKind::Freestanding => "func",
            FunctionKind::Method(_) => "method",
            FunctionKind::Static(_) => "static",
            FunctionKind::Constructor(_) => "constructor",
            _ => "async",
        };
        items.insert(
            format!("{name}/{function_name}"),
            format!("{kind}({}) -> {result}", params.join(", ")),
        );
    }
}

fn definition(resolve: &Resolve, id: TypeId) -> String {
    let kind = &resolve.types[id].kind;
    match kind {
        TypeDefKind::Record(record) => {
            let fields = record.fields.iter();
            let fields: Vec<String> = fields
                .map(|field| format!("{}: {}", field.name, named(resolve, &field.ty)))
                .collect();
            format!("record {{{}}}", fields.join(", "))
        }
        TypeDefKind::Variant(variant) => {
            let cases = variant.cases.iter();
            let cases: Vec<String> = cases
                .map(|case| {
                    let held = case.ty.as_ref();
                    let held = held.map_or_else(String::new, |held| named(resolve, held));
                    format!("{}({held})", case.name)
                })
                .collect();
            format!("variant {{{}}}", cases.join(", "))
        }
        TypeDefKind::Enum(enumeration) => {
            let cases: Vec<&str> = enumeration
                .cases
                .iter()
                .map(|case| case.name.as_str())
                .collect();
            format!("enum {{{}}}", cases.join(", "))
        }
        TypeDefKind::Flags(flags) => {
            let names: Vec<&str> = flags.flags.iter().map(|flag| flag.name.as_str()).collect();
            format!("flags {{{}}}", names.join(", "))
        }
        TypeDefKind::Resource => "resource".to_owned(),
        other => inline(resolve, other),
    }
}

fn named(resolve: &Resolve, kind: &Type) -> String {
    let Type::Id(id) = kind else {
        return format!("{kind:?}");
    };
    match &resolve.types[*id].name {
        Some(name) => name.clone(),
        None => inline(resolve, &resolve.types[*id].kind),
    }
}

fn inline(resolve: &Resolve, kind: &TypeDefKind) -> String {
    let optional =
        |kind: Option<&Type>| kind.map_or_else(|| "_".to_owned(), |kind| named(resolve, kind));
    match kind {
        TypeDefKind::List(item) => format!("list<{}>", named(resolve, item)),
        TypeDefKind::Option(item) => format!("option<{}>", named(resolve, item)),
        TypeDefKind::Result(both) => {
            format!(
                "result<{}, {}>",
                optional(both.ok.as_ref()),
                optional(both.err.as_ref())
            )
        }
        TypeDefKind::Tuple(tuple) => {
            let items: Vec<String> = tuple
                .types
                .iter()
                .map(|item| named(resolve, item))
                .collect();
            format!("tuple<{}>", items.join(", "))
        }
        TypeDefKind::Handle(Handle::Own(id)) => named(resolve, &Type::Id(*id)),
        TypeDefKind::Handle(Handle::Borrow(id)) => {
            format!("borrow<{}>", named(resolve, &Type::Id(*id)))
        }
        TypeDefKind::Type(same) => named(resolve, same),
        // A kind that the contract does not use yet must be told apart here before it does.
        other => panic!("{other:?}"),
    }
}

/// What `now` lacks of `then`, or has otherwise.
fn broken(then: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<String> {
    let gone = |(name, was): (&String, &String)| match now.get(name) {
        Some(is) if is == was => None,
        Some(is) => Some(format!("{name} was `{was}` and is `{is}`")),
        None => Some(format!("{name} is gone; it was `{was}`")),
    };
    then.iter().filter_map(gone).collect()
}

#[test]
fn everything_that_was_released_is_there_unchanged() {
    let wit = root().join("wit");
    let now = items(&wit);
    let entries = std::fs::read_dir(&wit).unwrap();
    let folders = entries.map(|entry| entry.unwrap().path());
    let frozen: Vec<_> = folders.filter(|path| path.is_dir()).collect();
    assert!(!frozen.is_empty(), "no release is frozen");
    for folder in frozen {
        let then = items(&folder);
        assert!(then.len() > 100, "{} is no contract", folder.display());
        let broken = broken(&then, &now);
        assert!(
            broken.is_empty(),
            "wit/ breaks components that were built against {}: a change like this is a new package version beside the old one\n{}",
            folder.display(),
            broken.join("\n")
        );
    }
}

#[test]
fn a_broken_contract_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let wit = root().join("wit/since-0.1.0");
    let then = items(&wit);
    for (file, from, to) in [
        ("types.wit", "denied(string)", "denied(u64)"),
        (
            "types.wit",
            "enum operator-kind { operator, sensor }",
            "enum operator-kind { sensor, operator }",
        ),
        ("types.wit", "poke-number: u32,", ""),
        (
            "host.wit",
            "push: func(key: string, value: json)",
            "push: func(key: string)",
        ),
        (
            "host.wit",
            "finish: func() -> result<string, capability-error>;",
            "",
        ),
        ("host.wit", "is-cancelled: func() -> bool;", ""),
        ("world.wit", "import calendar;", ""),
    ] {
        for name in ["types.wit", "host.wit", "world.wit"] {
            let text = std::fs::read_to_string(wit.join(name)).unwrap();
            let changed = if name == file {
                assert!(text.contains(from), "{name} has no {from}");
                text.replacen(from, to, 1)
            } else {
                text
            };
            // An annotation without its item is no WIT.
            let changed = changed.replace("@since(version = 0.1.0)\n", "\n");
            std::fs::write(folder.path().join(name), changed).unwrap();
        }
        let now = items(folder.path());
        assert!(!broken(&then, &now).is_empty(), "{file}: {from} -> {to}");
        assert!(broken(&then, &then).is_empty());
    }
}
