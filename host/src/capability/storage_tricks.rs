//! Tricks to leave a granted prefix. Each goes through the real storage capability with every operation; what lies outside must
//! stay as it is and unread, and no bucket but the granted one may be asked for.

use super::*;
use crate::capability::objects::{ConnectionSource, ObjectStorage, Objects, StorageConnections};
use airlock_core::grant::Grants;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// What is said outside of the granted folders, and must never come back.
const SECRET: &str = "the secret outside";

/// After `file://`; `BASE` is the base folder's absolute path.
const LOCAL: &[&str] = &[
    // Up, by every spelling.
    "./data/../secret",
    "./data/../data/../secret",
    "./data/a/../../secret",
    "./data/./../secret",
    "./data/..",
    "./data/.",
    "./data/../",
    "./data//../secret",
    "./data/.../secret",
    "./data/..../secret",
    "./data/..;/secret",
    "./data/.. /secret",
    "./data/ ../secret",
    "./data/..\t/secret",
    "./data/..\n/secret",
    "./data/..\r/secret",
    "./data/..\0/secret",
    "./data/\0/../secret",
    "./data/x\0/../../secret",
    "./data/..\u{7f}/secret",
    "../secret",
    "./../secret",
    "..",
    ".",
    "./",
    "",
    "/",
    "//",
    "data/../secret",
    "./secret",
    "././secret",
    "./x/../secret",
    // Percent-encoded once, twice, three times, and wrongly.
    "./data/%2e%2e/secret",
    "./data/%2E%2E/secret",
    "./data/.%2e/secret",
    "./data/%2e./secret",
    "./data/..%2fsecret",
    "./data/..%2Fsecret",
    "./data/%2e%2e%2fsecret",
    "./data%2f..%2fsecret",
    "./data%2f../secret",
    "./data/..%5csecret",
    "./data/%2e%2e%5csecret",
    "./data/%252e%252e/secret",
    "./data/%252e%252e%252fsecret",
    "./data/%25252e%25252e/secret",
    "./data/%c0%ae%c0%ae/secret",
    "./data/%e0%80%ae%e0%80%ae/secret",
    "./data/%f0%80%80%ae/secret",
    "./data/..%c0%afsecret",
    "./data/..%c1%9csecret",
    "./data/%u002e%u002e/secret",
    "./data/%%32%65%%32%65/secret",
    "./data/%2/secret",
    "./data/%",
    "./data/%00",
    "./data/x%00.csv",
    "./data/%0a../secret",
    "./data/..%00/secret",
    "./data/%2e",
    "./%64ata/../secret",
    "./%64ata/x",
    "%2e/data/x",
    "%2e%2e/secret",
    "/%2e%2e/secret",
    // Backslashes.
    "./data\\..\\secret",
    "./data/..\\secret",
    "./data/..\\/secret",
    "./data\\../secret",
    ".\\data\\x",
    "\\\\host\\share",
    "./data/\\..\\..\\secret",
    "./data/a\\b",
    "\\etc\\passwd",
    "C:\\secret",
    "/C:/secret",
    "/c|/secret",
    // Alphabets with their own dots and slashes.
    "./data/．．/secret",
    "./data/。。/secret",
    "./data/｡｡/secret",
    "./data/‥/secret",
    "./data/…/secret",
    "./data/․․/secret",
    "./data/..／secret",
    "./data/..∕secret",
    "./data/..⁄secret",
    "./data/..⧸secret",
    "./data/..＼secret",
    "./data/..﹨secret",
    "./data/.\u{200b}./secret",
    "./data/.\u{ad}./secret",
    "./data/.\u{200d}./secret",
    "./data/\u{feff}../secret",
    "./data/..\u{fe0e}/secret",
    "./data/\u{202e}..//secret",
    "./data/.\u{0307}/secret",
    "./data/..\u{2028}/secret",
    "./data/..\u{0085}/secret",
    "./data/..\u{a0}/secret",
    "./ｄａｔａ/x",
    "./dat\u{0430}/x",
    "./DATA/x",
    "./Data/x",
    "./data\u{300}/x",
    // Absolute, and other people's homes.
    "/etc/passwd",
    "//etc/passwd",
    "///etc/passwd",
    "/./etc/passwd",
    "/data/x",
    "/BASE/secret",
    "BASE/secret",
    "BASE/data/x",
    "BASE/data/../secret",
    "/proc/self/root/etc/passwd",
    "/proc/self/environ",
    "/proc/self/cwd/secret",
    "/dev/stdin",
    "/dev/fd/0",
    "/dev/zero",
    "/sys/kernel",
    "~/secret",
    "~root/secret",
    "./data/~/secret",
    "$HOME/secret",
    "./data/$HOME/x",
    "./data/${HOME}/x",
    "./data/`id`",
    "./data/$(id)",
    "./data/*",
    "./data/?",
    "./data/[a]",
    // A host in a file URI, and things that end one.
    "localhost/etc/passwd",
    "localhost./data/x",
    "127.0.0.1/etc/passwd",
    "host/share/x",
    "user@host/x",
    "user:pw@host:1/x",
    "[::1]/x",
    "host:80/x",
    "%6c/x",
    "./data/x?y=../secret",
    "./data/x#../secret",
    "./data/x;../secret",
    "?./data/x",
    "#./data/x",
    // Prefixes that only look like the granted one.
    "./data",
    "./data-evil/x",
    "./database/x",
    "./data.evil/x",
    "./data /x",
    "./data./x",
    "./dat/x",
    "./dataX/../data/x",
    "./in-evil/x",
    "./inside/x",
    "./in",
    "./ data/x",
    " ./data/x",
    "./data\u{200b}/x",
    // Empty segments, blanks and dots at ends.
    "./data//x",
    "./data///x",
    "./data/x//y",
    "./data/x/",
    "./data/x/.",
    "./data/x/..",
    "./data/ ",
    "./data/x ",
    "./data/x.",
    "./data/. ",
    "./data/.. ",
    "./data/x/ /y",
    ".//data/x",
    "./data/.airlock-tmp-1",
    "./data/a/.airlock-tmp-2",
    // Names of devices elsewhere, streams, and very long ones.
    "./data/aux.txt/../../secret",
    "./data/../in/../secret",
    "./in/../secret",
    "./in/%2e%2e/secret",
    "./in/..\\secret",
    "./in//x",
    "./in/./x",
    "./data/../../../../../../../../etc/passwd",
    "./data/real/%2e%2e/%2e%2e/secret",
    "./data/real/../../../secret",
    "./data/\u{2025}/secret",
    "./data/..\u{200e}/secret",
    "./data/CON",
    "./data/x::$DATA",
    "./data/x:stream",
    "./data/NUL.txt",
    // Links that lie in the granted folders.
    "./data/absolute",
    "./data/relative",
    "./data/up/secret",
    "./data/up/up/secret",
    "./data/root/etc/passwd",
    "./data/loop",
    "./data/loop/x",
    "./data/chain",
    "./data/dangling",
    "./data/up",
    "./data/up/new",
    "./data/proc/environ",
    "./in/out",
    "./in/folder/secret",
    "./in/folder/new",
    "./data/fifo",
    "./data/real/../../secret",
    "./data/up/data/x",
];

/// Whole URIs of buckets; granted are `s3://data/lake/` to write and `s3://inputs/` to read.
const REMOTE: &[&str] = &[
    "s3://data/secret",
    "s3://data/",
    "s3://data",
    "s3://data//lake/x",
    "s3://data/lake",
    "s3://data/lake-evil/x",
    "s3://data/lakes/x",
    "s3://data/lake/../secret",
    "s3://data/lake/..",
    "s3://data/lake/./x",
    "s3://data/lake//x",
    "s3://data/lake/x/../../secret",
    "s3://data/lake/%2e%2e/secret",
    "s3://data/lake/..%2fsecret",
    "s3://data/lake%2f..%2fsecret",
    "s3://data/lake/%252e%252e/secret",
    "s3://data/%6cake/x",
    "s3://data/lake/..\\secret",
    "s3://data\\lake\\x",
    "s3://data/lake/\0",
    "s3://data/lake/\n",
    "s3://data/lake/x?versionId=1",
    "s3://data/lake/x?acl",
    "s3://data/lake/x#y",
    "s3://data/LAKE/x",
    "s3://data/Lake/x",
    "S3://data/lake/x",
    "s3:/data/lake/x",
    "s3:data/lake/x",
    "s3:///data/lake/x",
    "s3:////data/lake/x",
    "s3://data-evil/lake/x",
    "s3://data.evil/lake/x",
    "s3://dat/a/lake/x",
    "s3://evil/data/lake/x",
    "s3://data@evil/lake/x",
    "s3://evil@data/lake/x",
    "s3://user:pw@data/lake/x",
    "s3://data:9000/lake/x",
    "s3://data:/lake/x",
    "s3://Data/lake/x",
    "s3://DATA/lake/x",
    "s3://dätä/lake/x",
    "s3://ｄａｔａ/lake/x",
    "s3://data./lake/x",
    "s3://.data/lake/x",
    "s3://data../lake/x",
    "s3://data /lake/x",
    "s3:// data/lake/x",
    " s3://data/lake/x",
    "s3://data/lake/x/",
    "s3://data/lake/",
    "s3://data/ｌａｋｅ/x",
    "s3://data/lake\u{200b}/x",
    "s3://data/lake／x",
    "s3a://data/lake/x",
    "s3n://data/lake/x",
    "gs://data/lake/x",
    "az://data/lake/x",
    "file://data/lake/x",
    "http://data/lake/x",
    "https://s3.amazonaws.com/data/lake/x",
    "s3+http://data/lake/x",
    "//data/lake/x",
    "data/lake/x",
    "s3://169.254.169.254/lake/x",
    "s3://localhost/lake/x",
    "s3://[::1]/lake/x",
    "s3://data%2f/lake/x",
    "s3://data%00/lake/x",
    "s3://data/lake\t/x",
    "s3://data/lake /x",
    "s3://inputs-evil/x",
    "s3://inputs.evil/x",
    "s3://input/s/x",
    "s3://arn:aws:s3:::data/lake/x",
    "s3://data--x-s3/lake/x",
];

struct Outside {
    folder: tempfile::TempDir,
    objects: Objects,
    /// Connections that were asked for: the step before a bucket is reached.
    asked: Asked,
}

#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<String>>>);

impl ConnectionSource for Asked {
    fn storage_connection(&self, id: &str) -> Result<Option<crate::secrets::Connection>, String> {
        self.0.lock().unwrap().push(id.to_owned());
        Ok(None)
    }
}

fn outside() -> Outside {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path();
    let grants = Grants {
        storage: vec!["file://./data/".into(), "s3://data/lake/".into()],
        storage_read: vec!["file://./in/".into(), "s3://inputs/".into()],
        ..Grants::default()
    };
    for name in [
        "data/real",
        "in",
        "data-evil",
        "database",
        "in-evil",
        "other",
    ] {
        std::fs::create_dir_all(base.join(name)).unwrap();
        std::fs::write(base.join(name).join("x"), SECRET).unwrap();
    }
    std::fs::write(base.join("secret"), SECRET).unwrap();
    // What is granted is no secret.
    for granted in ["data/real/x", "in/x", "data/x"] {
        std::fs::write(base.join(granted), "granted").unwrap();
    }
    plant(base);
    let asked = Asked::default();
    let grants: Arc<Granted> = Arc::new(grants.into());
    let files = Files::new(Arc::clone(&grants), base);
    let house = ObjectStorage::new(StorageConnections::default(), base.join("other/spool"));
    let memory = crate::capability::budget::Budget::new(1 << 20);
    let (objects, lifeline) = Objects::new(
        files,
        grants,
        Arc::new(asked.clone()),
        Arc::new(house),
        memory,
    );
    std::mem::forget(lifeline);
    Outside {
        folder,
        objects,
        asked,
    }
}

/// Links that lead out, and a pipe that nobody writes to.
fn plant(base: &std::path::Path) {
    for (to, link) in [
        (base.join("secret").to_str().unwrap(), "data/absolute"),
        ("../secret", "data/relative"),
        ("..", "data/up"),
        ("/", "data/root"),
        ("loop", "data/loop"),
        ("relative", "data/chain"),
        ("../new-file", "data/dangling"),
        ("/proc/self", "data/proc"),
        ("../secret", "in/out"),
        ("..", "in/folder"),
    ] {
        // One that a trick before replaced is planted again.
        let _ = symlink(to, base.join(link));
    }
    let _ = rustix::fs::mknodat(
        rustix::fs::CWD,
        base.join("data/fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    );
}

impl Outside {
    /// Every name outside of the granted folders with what it holds.
    fn rest(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let mut open = vec![self.folder.path().to_owned()];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let granted = ["data", "in"]
                    .iter()
                    .any(|name| path == self.folder.path().join(name));
                let kind = path.symlink_metadata().unwrap();
                if kind.is_dir() && !granted {
                    open.push(path.clone());
                }
                let text = if kind.is_file() {
                    std::fs::read_to_string(&path).unwrap()
                } else {
                    String::new()
                };
                found.insert(path.display().to_string(), text);
            }
        }
        found
    }

    /// Tries everything that storage can do with `uri`; yields what could be read.
    fn everything(&self, uri: &str) -> Vec<String> {
        let mut said = Vec::new();
        if let Ok(mut reader) = self.objects.open(uri) {
            said.push(
                String::from_utf8_lossy(&reader.read(1 << 10).unwrap_or_default()).into_owned(),
            );
        }
        if let Ok(source) = self.objects.whole(uri) {
            drop(source);
        }
        for found in self.objects.list(uri, None).into_iter().flatten() {
            assert!(
                found.uri.starts_with("file://./data/") || found.uri.starts_with("file://./in/"),
                "{uri:?} lists {}",
                found.uri
            );
        }
        let _ = self.objects.head(uri);
        if let Ok(mut writer) = self.objects.create(uri) {
            let _ = writer.append(b"written by a trick");
            let _ = writer.finish();
        }
        let _ = self.objects.delete(uri);
        said
    }
}

#[test]
fn no_uri_leaves_the_granted_folders() {
    let outside = outside();
    let base = outside.folder.path().to_str().unwrap().to_owned();
    let before = outside.rest();
    let long = [
        format!("./data/{}", "a/".repeat(2_000)),
        format!("./data/{}", "x".repeat(5_000)),
        format!("./data/{}secret", "../".repeat(300)),
    ];
    let local = LOCAL
        .iter()
        .map(|text| text.replace("BASE", &base))
        .chain(long);
    let uris: Vec<String> = local
        .flat_map(|rest| {
            [
                format!("file://{rest}"),
                format!("FILE://{rest}"),
                format!("file:{rest}"),
            ]
        })
        .collect();
    assert!(LOCAL.len() >= 200, "{} tricks", LOCAL.len());
    for uri in &uris {
        plant(outside.folder.path());
        let said = outside.everything(uri);
        assert!(
            said.iter()
                .all(|text| !text.contains(SECRET) && !text.contains("root:")),
            "{uri:?} read {said:?}"
        );
        assert_eq!(outside.rest(), before, "{uri:?}");
    }
    assert!(outside.asked.0.lock().unwrap().is_empty());
}

#[test]
fn no_uri_reaches_another_bucket_or_another_part_of_it() {
    let outside = outside();
    let before = outside.rest();
    for uri in REMOTE {
        // A folder may be listed where it is granted; everything else of these is refused before a bucket is looked for.
        let is_granted_folder = matches!(*uri, "s3://data/lake/" | "s3://data/lake/x/");
        outside.everything(uri);
        let asked = std::mem::take(&mut *outside.asked.0.lock().unwrap());
        let expected = usize::from(is_granted_folder);
        assert_eq!(asked.len(), expected, "{uri:?} asked for {asked:?}");
        assert_eq!(outside.rest(), before, "{uri:?}");
    }
    let read_only = outside.objects.create("s3://inputs/x").err().unwrap();
    assert!(
        matches!(read_only, CapabilityError::Denied(_)),
        "{read_only:?}"
    );
    assert!(outside.objects.delete("s3://inputs/x").is_err());
    assert!(outside.asked.0.lock().unwrap().is_empty());
    // What is granted is asked for, so that the rest of this test means something.
    let _ = outside.objects.open("s3://data/lake/x");
    let _ = outside.objects.open("s3://inputs/x");
    assert_eq!(outside.asked.0.lock().unwrap().len(), 2);
}

#[test]
fn a_folder_that_becomes_a_link_while_it_is_open_leads_nowhere_else() {
    let outside = outside();
    let data = outside.folder.path().join("data");
    let mut writer = outside.objects.create("file://./data/real/new").unwrap();
    writer.append(b"mine").unwrap();
    // Somebody swaps the folder for a link that leads out, between the two halves of the write.
    std::fs::rename(data.join("real"), data.join("moved")).unwrap();
    symlink("../other", data.join("real")).unwrap();
    writer.finish().unwrap();
    assert!(!outside.folder.path().join("other/new").exists());
    assert_eq!(std::fs::read(data.join("moved/new")).unwrap(), b"mine");
    assert!(outside.objects.create("file://./data/real/again").is_err());
}
