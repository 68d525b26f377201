//! What a person reads when something is wrong.

use super::{command, has, run};
use airlock_tests::{Airlock, Done};
use insta::assert_snapshot;

fn said(airlock: &Airlock, arguments: &[&str]) -> String {
    run(airlock, arguments).transcript(airlock.folder())
}

#[test]
fn a_folder_of_no_known_language_says_what_is_looked_for() {
    let airlock = Airlock::new();
    std::fs::create_dir(airlock.folder().join("empty")).unwrap();
    assert_snapshot!(said(&airlock, &["plugins", "build", "empty"]));
}

#[test]
fn a_folder_of_two_languages_names_both_files() {
    let airlock = Airlock::new();
    std::fs::create_dir(airlock.folder().join("two")).unwrap();
    airlock.file("two/Cargo.toml", "");
    airlock.file("two/go.mod", "");
    airlock.file("two/setup.py", "");
    assert_snapshot!(said(&airlock, &["plugins", "build", "two"]));
}

#[test]
fn a_path_that_is_not_there_is_not_found() {
    let airlock = Airlock::new();
    assert_snapshot!(said(&airlock, &["plugins", "build", "nowhere"]));
}

#[test]
fn names_that_no_language_takes_are_refused() {
    let airlock = Airlock::new();
    for name in ["Hello", "my-plugin", "1st", "fn", "a/../b", ""] {
        let done = run(&airlock, &["plugins", "new", name, "--lang", "c"]);
        assert_eq!(done.code, 2, "{name}: {}", done.stderr);
    }
    assert_snapshot!(said(&airlock, &["plugins", "new", "fn", "--lang", "c"]));
}

#[test]
fn nothing_that_is_there_is_overwritten() {
    let airlock = Airlock::new();
    std::fs::create_dir(airlock.folder().join("mine")).unwrap();
    airlock.file("mine/plugin.c", "precious");
    assert_snapshot!(said(&airlock, &["plugins", "new", "mine", "--lang", "c"]));
    let kept = std::fs::read_to_string(airlock.folder().join("mine/plugin.c")).unwrap();
    assert_eq!(kept, "precious");
}

#[test]
fn a_missing_tool_is_named_with_the_command_that_installs_it() {
    let airlock = Airlock::new();
    let mut text = String::new();
    for (lang, name) in [("rust", "r"), ("c", "c"), ("ts", "t")] {
        let made = run(&airlock, &["plugins", "new", name, "--lang", lang]);
        assert_eq!(made.code, 0, "{}", made.stderr);
        let mut build = command(&airlock, &["plugins", "build", name, "--quiet"]);
        let done: Done = build.env("PATH", "/nowhere").output().unwrap().into();
        text.push_str(&done.transcript(airlock.folder()));
    }
    assert_snapshot!(text);
}

#[test]
fn what_the_compiler_says_is_shown() {
    if !has(&["python3"]) {
        return;
    }
    let airlock = Airlock::new();
    airlock.file(
        "wrong.c",
        "#include \"airlock.h\"\nint hello(void) { return nobody; }\n",
    );
    let done = run(&airlock, &["plugins", "build", "wrong.c", "--quiet"]);
    assert_eq!(done.code, 2);
    assert!(
        done.stderr
            .contains("wrong.c:2:26: error: use of undeclared identifier 'nobody'"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_type_error_and_a_missing_export_are_shown() {
    if !has(&["node", "npm"]) {
        return;
    }
    let airlock = Airlock::new();
    airlock.file(
        "wrong.ts",
        "const n: number = \"one\";\nexport default n;\n",
    );
    assert_snapshot!(
        said(&airlock, &["plugins", "build", "wrong.ts", "--quiet"])
            .lines()
            .filter(|line| !line.starts_with("error:"))
            .collect::<Vec<_>>()
            .join("\n")
    );
    airlock.file("none.js", "export default 7;\n");
    let done = run(&airlock, &["plugins", "build", "none.js", "--quiet"]);
    assert_eq!(done.code, 2);
    assert!(
        done.stderr.contains("the default export is no plugin"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_wrong_command_line_of_plugins_test_is_told_before_anything_is_built() {
    let airlock = Airlock::new();
    airlock.file("never.c", "this is never compiled");
    let mut text = String::new();
    for arguments in [
        ["--config", "{\"name\": }"],
        ["--config", "[1]"],
        ["--operator", "no spaces"],
        ["--grant", "everything"],
        ["--grant", "training=many"],
    ] {
        let all = [&["plugins", "test", "never.c"][..], &arguments[..]].concat();
        text.push_str(&said(&airlock, &all));
    }
    assert_snapshot!(text);
}

#[test]
fn what_is_wrong_with_a_dag_of_python_is_one_sentence_with_its_place() {
    if !has(&["python3"]) {
        return;
    }
    let airlock = Airlock::new();
    // Seen without running anything.
    airlock.file("numbers.py", "import numpy as np\n");
    airlock.file(
        "nameless.py",
        "from airflow.decorators import task\n\ntotal = task(lambda: 1)\n",
    );
    // Seen when the file is loaded, inside WebAssembly.
    std::fs::create_dir(airlock.folder().join("wrong")).unwrap();
    let dag = |id: &str, end: &str| {
        format!(
            "from airflow.decorators import dag, task\n\n@dag(dag_id=\"{id}\", schedule=None)\ndef made():\n    @task\n    def total():\n        return 1\n    total()\n    {end}\n\nmade()\n"
        )
    };
    airlock.file("wrong/raises.py", &dag("raises", "{}[\"bucket\"]"));
    airlock.file("wrong/twice_a.py", &dag("twice", "pass"));
    airlock.file("wrong/twice_b.py", &dag("twice", "pass"));
    let mut text = String::new();
    for path in ["numbers.py", "nameless.py", "wrong"] {
        text.push_str(&said(&airlock, &["plugins", "build", path, "--quiet"]));
    }
    assert_snapshot!(text);
}
