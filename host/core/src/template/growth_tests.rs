//! What templates may build, and that operators which are rewritten for it mean what they meant.

use super::tests::{context, text_of};
use super::*;
use proptest::prelude::*;
use serde_json::json;

#[test]
fn what_a_template_builds_on_its_way_is_limited_and_the_error_names_it_and_the_limit() {
    let grows = "{% set ns = namespace(x='ab') %}{% for i in range(40) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}";
    let error = render(&json!({"a": [grows]}), &context()).unwrap_err();
    assert!(matches!(error, TemplateError::Growth { .. }), "{error}");
    let text = error.to_string();
    for part in [
        "config.a[0]",
        "namespace",
        "8388608 bytes",
        "do the work in a task",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let long = format!("{}{{% macro m() %}}x{{% endmacro %}}", " ".repeat(5_000));
    let error = evaluate(&long, &context()).unwrap_err().to_string();
    assert!(error.contains("4096 bytes"), "{error}");
    // What people write is far from the limit.
    for (template, expected) in [
        (
            "{% for n in range(2000) %}{{ 'row ' ~ n }},{% endfor %}{{ '' }}",
            16_890,
        ),
        (
            "{% set all = range(5000) | list + [1] %}{{ all | join('') }}",
            18_891,
        ),
        ("{{ 'a' * 900000 }}", 900_000),
    ] {
        let value = evaluate(template, &context()).unwrap();
        assert_eq!(value.as_str().unwrap().len(), expected, "{template}");
    }
}

#[test]
fn filters_that_are_charged_for_take_their_keywords() {
    let rows = "[{'n': 2, 'of': 'a'}, {'n': 1, 'of': 'a'}]";
    for (template, expected) in [
        ("ROWS | map(attribute='n') | list", json!([2, 1])),
        ("ROWS | map(attribute='none', default=0) | sum", json!(0)),
        (
            "ROWS | map(attribute='n') | sort(reverse=true)",
            json!([2, 1]),
        ),
        (
            "ROWS | sort(attribute='n') | map(attribute='n') | first",
            json!(1),
        ),
        ("ROWS | unique(attribute='of') | list | length", json!(1)),
        ("ROWS | groupby(attribute='of') | list | length", json!(1)),
        ("{'a': 1} | tojson(indent=1)", json!("{\n \"a\": 1\n}")),
    ] {
        let template = format!("{{{{ {} }}}}", template.replace("ROWS", rows));
        assert_eq!(
            evaluate(&template, &context()).unwrap(),
            expected,
            "{template}"
        );
    }
    let unknown = evaluate("{{ [1] | map(attribut='n') }}", &context());
    assert!(unknown.is_err(), "{unknown:?}");
}

#[test]
fn operators_mean_what_they_meant() {
    for (template, expected) in [
        ("1 + 2 * 3 - 4", json!(3)),
        ("(1 + 2) * (3 - 4)", json!(-3)),
        ("2 * 3 ~ (4 + 5)", json!("69")),
        ("-1 + -2", json!(-3)),
        ("- (1 + 2) ** 2", json!(9)),
        ("1.5 + 1", json!(2.5)),
        ("'a' + 'b' ~ 1 ~ none", json!("ab1None")),
        ("[1] + [2] * 2", json!([1, 2, 2])),
        ("['ä' ~ 'ö', \"it's\" ~ '\"']", json!(["äö", "it's\""])),
        ("('a' + 'b') | upper ~ '+-*~'", json!("AB+-*~")),
        ("'abc'[1:] ~ [1, 2, 3][::2] | join('-')", json!("bc1-3")),
        ("(1, 1 + 1)", json!([1, 2])),
        ("{'a' ~ 1: 2 + 3}", json!({"a1": 5})),
        ("1 + 2 == 3 and not 1 - 1", json!(true)),
        ("5 in [2 + 3]", json!(true)),
        ("'x' ~ 1 if 1 - 1 else 'y' ~ 2", json!("y2")),
        ("range(1 + 1) | map('string') | list", json!(["0", "1"])),
        ("(params.model.name ~ '!') is defined", json!(true)),
        ("'%s' ~ {'a': [1 + 1]}['a'][0]", json!("%s2")),
    ] {
        let whole = format!("{{{{ {template} }}}}");
        assert_eq!(text_of(&whole), expected, "{template}");
        // The same inside a text.
        let inside = format!("{{% set v = {template} %}}{{{{ v | tojson }}}}{{# a + b #}}");
        let text = text_of(&inside);
        let value: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
        assert_eq!(value, expected, "{template}");
    }
    let raw =
        "{% raw %}{{ a + b }}{% endraw %}{% for a, b in [(1, 2)] %}{{ a + b }}{%- endfor -%} - +";
    assert_eq!(text_of(raw), json!("{{ a + b }}3- +"));
    for wrong in [
        "{{ 1 + 'a' }}",
        "{{ none - 1 }}",
        "{{ [1] ~ dss }}",
        "{{ dss + 1 }}",
    ] {
        assert!(evaluate(wrong, &context()).is_err(), "{wrong}");
    }
}

#[test]
fn g3_dates_are_added_and_subtracted_as_in_python() {
    for (template, expected) in [
        (
            "logical_date + macros.timedelta(days=1)",
            json!("2025-06-17T02:00:00+00:00"),
        ),
        (
            "(logical_date + macros.timedelta(days=1)) | ds",
            json!("2025-06-17"),
        ),
        (
            "macros.timedelta(hours=1) + logical_date",
            json!("2025-06-16T03:00:00+00:00"),
        ),
        (
            "(data_interval_end - macros.timedelta(weeks=1, hours=2)).strftime('%d.%m. %H')",
            json!("09.06. 00"),
        ),
        (
            "data_interval_end - data_interval_start",
            json!("7 days, 0:00:00"),
        ),
        (
            "(data_interval_end - data_interval_start).total_seconds()",
            json!(604_800.0),
        ),
        (
            "(data_interval_end - data_interval_start).days + 1",
            json!(8),
        ),
        (
            "macros.timedelta(1) + macros.timedelta(1) - macros.timedelta(hours=1)",
            json!("1 day, 23:00:00"),
        ),
        (
            "logical_date.in_timezone('Europe/London') - logical_date",
            json!("0:00:00"),
        ),
        (
            "logical_date - macros.timedelta(1) < logical_date",
            json!(true),
        ),
    ] {
        assert_eq!(
            text_of(&format!("{{{{ {template} }}}}")),
            expected,
            "{template}"
        );
    }
    let wrong = evaluate("{{ logical_date + 1 }}", &context()).unwrap_err();
    assert!(
        wrong.to_string().contains("macros.timedelta(days=1)"),
        "{wrong}"
    );
    let far = evaluate(
        "{{ logical_date + macros.timedelta(days=99999999) }}",
        &context(),
    );
    assert!(far.is_err());
}

/// Expressions of small numbers, texts and lists with every operator that is rewritten.
fn arithmetic() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec!["1", "20", "3.5", "-7", "x", "'a'", "y['k']", "[1, x]"]);
    leaf.prop_map(str::to_owned)
        .prop_recursive(5, 24, 2, |inner| {
            let operator =
                prop::sample::select(vec!["+", "-", "*", "~", " + ", " ~ ", "\n*", "//", "=="]);
            prop_oneof![
                (inner.clone(), operator, inner.clone())
                    .prop_map(|(a, op, b)| format!("{a}{op}{b}")),
                inner.clone().prop_map(|a| format!("({a})")),
                inner.clone().prop_map(|a| format!("({a}) | string")),
                inner.clone().prop_map(|a| format!("[{a}, 1][0]")),
                inner.clone().prop_map(|a| format!("(({a}) ~ '')[1:]")),
                inner
                    .clone()
                    .prop_map(|a| format!("y.get(({a}) ~ '', 'abc')[1:].upper()[:1 + 1]")),
                inner.prop_map(|a| format!("{a} if x else 1")),
            ]
        })
}

proptest! {
    #[test]
    fn a_rewritten_expression_is_worth_what_it_was(text in arithmetic()) {
        let names = || minijinja::context! { x => 5, y => minijinja::context! { k => 2 } };
        let mut plain = minijinja::Environment::new();
        plain.set_unknown_method_callback(python::method);
        let wanted = plain.compile_expression(&text).unwrap().eval(names());
        let found = ENVIRONMENT
            .compile_expression_owned(rewrite::expression(&text).unwrap())
            .unwrap()
            .eval(names());
        match (wanted, found) {
            (Ok(wanted), Ok(found)) => prop_assert_eq!(wanted.to_string(), found.to_string()),
            (Err(_), Err(_)) => {}
            (wanted, found) => prop_assert!(false, "{wanted:?} {found:?}"),
        }
    }
}
