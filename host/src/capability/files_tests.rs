use super::*;
use airlock_core::grant::Grants;
use std::io::Read as _;
use std::os::unix::fs::symlink;

#[path = "storage_tricks.rs"]
mod tricks;

struct House {
    folder: tempfile::TempDir,
    files: Files,
}

fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let grants = Grants {
        storage: vec!["file://./data/".into()],
        storage_read: vec!["file://./in/".into()],
        ..Grants::default()
    };
    std::fs::create_dir_all(folder.path().join("in")).unwrap();
    std::fs::write(folder.path().join("secret"), "top").unwrap();
    let files = Files::new(Arc::new(grants.into()), folder.path());
    House { folder, files }
}

impl House {
    fn put(&self, uri: &str, text: &str) -> String {
        let mut writer = self.files.create(uri).unwrap();
        writer.append(text.as_bytes()).unwrap();
        writer.finish().unwrap()
    }

    fn text(&self, uri: &str) -> String {
        let mut text = String::new();
        let (mut file, _) = self.files.open(uri).unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    }

    fn uris(&self, prefix: &str, after: Option<&str>) -> Vec<String> {
        let found = self.files.list(prefix, after).unwrap();
        found.into_iter().map(|object| object.uri).collect()
    }
}

#[test]
fn an_object_is_visible_whole_or_not_at_all() {
    let house = house();
    let uri = "file://./data/a/b/model.bin";
    let mut writer = house.files.create(uri).unwrap();
    writer.append(b"abc").unwrap();
    assert_eq!(house.files.head(uri).unwrap(), None);
    assert!(house.uris("file://./data/", None).is_empty());
    let digest = writer.finish().unwrap();
    assert_eq!(
        digest,
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    assert_eq!(house.text(uri), "abc");
    house.put(uri, "new");
    assert_eq!(house.text(uri), "new");
    let mut dropped = house.files.create(uri).unwrap();
    dropped.append(b"half").unwrap();
    drop(dropped);
    assert_eq!(house.text(uri), "new");
    let left = std::fs::read_dir(house.folder.path().join("data/a/b")).unwrap();
    assert_eq!(left.count(), 1);
}

#[test]
fn the_litter_of_a_killed_writer_is_swept_and_a_living_one_is_not() {
    let house = house();
    let data = house.folder.path().join("data");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join(".airlock-tmp-dead"), "x").unwrap();
    let living = house.files.create("file://./data/one").unwrap();
    assert!(!data.join(".airlock-tmp-dead").exists());
    house.put("file://./data/two", "2");
    living.finish().unwrap();
    assert_eq!(house.uris("file://./data/", None).len(), 2);
}

#[test]
fn nothing_leads_out_of_the_granted_folder() {
    let house = house();
    house.put("file://./data/x", "x");
    let data = house.folder.path().join("data");
    symlink(house.folder.path().join("secret"), data.join("absolute")).unwrap();
    symlink("../secret", data.join("relative")).unwrap();
    symlink("..", data.join("up")).unwrap();
    symlink("x", data.join("inside")).unwrap();
    for uri in [
        "file://./data/absolute",
        "file://./data/relative",
        "file://./data/up/secret",
        "file://./data/../secret",
        "file://./data/%2e%2e/secret",
        "file://./secret",
        "file:///etc/passwd",
    ] {
        let refused = house.files.open(uri).err().unwrap();
        assert!(
            matches!(
                refused,
                CapabilityError::Denied(_) | CapabilityError::Invalid(_)
            ),
            "{uri}: {refused:?}"
        );
        assert!(house.files.create(&format!("{uri}/new")).is_err(), "{uri}");
    }
    assert!(house.files.create("file://./data/up/planted").is_err());
    assert!(!house.folder.path().join("planted").exists());
    assert_eq!(house.text("file://./data/inside"), "x");
    // Writing over a link replaces the link and never what it points at.
    house.put("file://./data/relative", "mine");
    let secret = std::fs::read_to_string(house.folder.path().join("secret"));
    assert_eq!(secret.unwrap(), "top");
}

#[test]
fn a_read_grant_does_not_write() {
    let house = house();
    std::fs::write(house.folder.path().join("in/x"), "in").unwrap();
    assert_eq!(house.text("file://./in/x"), "in");
    for refused in [
        house.files.create("file://./in/x").err(),
        house.files.delete("file://./in/x").err(),
    ] {
        assert!(
            matches!(refused, Some(CapabilityError::Denied(text)) if text.contains("`storage`"))
        );
    }
}

#[test]
fn a_pipe_is_refused_and_does_not_hang() {
    let house = house();
    let path = house.folder.path().join("in/pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    let refused = house.files.open("file://./in/pipe").err();
    assert!(matches!(refused, Some(CapabilityError::Invalid(_))));
    assert!(house.uris("file://./in/", None).is_empty());
}

#[test]
fn lists_are_in_order_and_go_on_after_an_entry() {
    let house = house();
    let names = ["a.txt", "a/1", "a/2", "a-b", "b/deep/x", "c"];
    for name in names {
        house.put(&format!("file://./data/{name}"), "1");
    }
    let all = house.uris("file://./data/", None);
    let mut expected: Vec<_> = names
        .iter()
        .map(|name| format!("file://./data/{name}"))
        .collect();
    expected.sort();
    assert_eq!(all, expected);
    for (index, uri) in all.iter().enumerate() {
        assert_eq!(house.uris("file://./data/", Some(uri)), all[index + 1..]);
    }
    assert_eq!(house.uris("file://./data/a/", None).len(), 2);
    assert_eq!(house.uris("file://./data/a", None).len(), 4);
    assert!(house.uris("file://./data/none/", None).is_empty());
}

#[test]
fn deleting_is_done_once_and_asked_twice() {
    let house = house();
    house.put("file://./data/x", "1");
    house.files.delete("file://./data/x").unwrap();
    house.files.delete("file://./data/x").unwrap();
    house.files.delete("file://./data/no/such").unwrap();
    assert_eq!(house.files.head("file://./data/x").unwrap(), None);
}
