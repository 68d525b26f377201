use super::*;
use crate::store::MemoryStore;
use crate::tracking::{ActorKind, Clock, NewLoggedModel, NewRun};
use std::sync::Arc;

fn user() -> Actor {
    Actor {
        kind: ActorKind::User,
        id: "ann".to_owned(),
    }
}

fn service() -> (Arc<MemoryStore>, Tracking, ArtifactOwner) {
    let store = Arc::new(MemoryStore::default());
    let clock: Clock = Arc::new(|| 7);
    let tracking = Tracking::new(store.clone(), clock);
    let run = tracking
        .create_run(&user(), "0", &NewRun::default())
        .unwrap();
    (store, tracking, ArtifactOwner::Run(run.run_id))
}

fn paths(tracking: &Tracking, owner: &ArtifactOwner, folder: Option<&str>) -> Vec<String> {
    let entries = tracking.list_artifacts(owner, folder).unwrap();
    let name = |entry: ArtifactEntry| match entry.file {
        Some(file) => format!("{} {}", entry.path, file.bytes),
        None => format!("{}/", entry.path),
    };
    entries.into_iter().map(name).collect()
}

#[test]
fn paths_make_a_tree_and_bytes_come_back() {
    let (_, tracking, owner) = service();
    for (path, bytes) in [
        ("model/MLmodel", "flavors"),
        ("model/data/model.xgb", "trees"),
        ("model-b", "x"),
        ("plot.png", "png"),
    ] {
        tracking
            .put_artifact(&user(), &owner, path, bytes.as_bytes())
            .unwrap();
    }
    let all = ["model/", "model-b 1", "plot.png 3"];
    assert_eq!(paths(&tracking, &owner, None), all);
    assert_eq!(paths(&tracking, &owner, Some("")), all);
    let model = ["model/MLmodel 7", "model/data/"];
    assert_eq!(paths(&tracking, &owner, Some("model")), model);
    assert_eq!(paths(&tracking, &owner, Some("model/")), model);
    assert!(paths(&tracking, &owner, Some("plot.png")).is_empty());
    assert!(paths(&tracking, &owner, Some("nowhere")).is_empty());
    let bytes = tracking
        .artifact_bytes(&owner, "model/data/model.xgb")
        .unwrap();
    assert_eq!(bytes, b"trees");
    let missing = tracking.artifact_bytes(&owner, "model");
    assert!(matches!(missing, Err(TrackingError::NotFound(_))));
}

#[test]
fn a_client_may_replace_a_path_and_the_old_bytes_stay() {
    let (store, tracking, owner) = service();
    let put = |bytes: &[u8]| tracking.put_artifact(&user(), &owner, "m", bytes).unwrap();
    let old = put(b"old");
    put(b"new");
    assert_eq!(tracking.artifact_bytes(&owner, "m").unwrap(), b"new");
    let digest = crate::tracking::parse_digest(&old.sha256).unwrap();
    assert_eq!(store.get_blob(&digest).unwrap().unwrap(), b"old");
    let trail = crate::tracking::Audit::new(store).read(0, 100).unwrap();
    let (_, last) = trail.last().unwrap();
    assert_eq!(last.from, json!({"m": old.sha256}));
}

#[test]
fn a_file_is_no_folder_and_a_folder_no_file() {
    let (_, tracking, owner) = service();
    let put = |path: &str| tracking.put_artifact(&user(), &owner, path, b"x");
    put("a/b").unwrap();
    for path in ["a", "a/b/c"] {
        assert!(
            matches!(put(path), Err(TrackingError::Invalid(_))),
            "{path}"
        );
    }
}

#[test]
fn whole_folders_are_deleted() {
    let (_, tracking, owner) = service();
    for path in ["a/b", "a/c/d", "ab"] {
        tracking.put_artifact(&user(), &owner, path, b"x").unwrap();
    }
    tracking.delete_artifact(&user(), &owner, "a").unwrap();
    assert_eq!(paths(&tracking, &owner, None), ["ab 1"]);
    let again = tracking.delete_artifact(&user(), &owner, "a");
    assert!(matches!(again, Err(TrackingError::NotFound(_))));
}

#[test]
fn paths_that_could_be_read_in_two_ways_are_refused() {
    let (_, tracking, owner) = service();
    let long = "x".repeat(ARTIFACT_PATH_BYTES_MAX + 1);
    for path in [
        "",
        "/",
        "/etc/passwd",
        "..",
        "../x",
        "a/../b",
        "a/..",
        "./a",
        "a//b",
        "a/",
        "a\\b",
        "..\\..\\x",
        "%2e%2e/x",
        "a%2fb",
        "a\0b",
        "a\nb",
        &long,
    ] {
        let put = tracking.put_artifact(&user(), &owner, path, b"x");
        assert!(put.is_err(), "{path:?}");
        assert!(tracking.artifact_bytes(&owner, path).is_err(), "{path:?}");
        assert!(
            tracking.delete_artifact(&user(), &owner, path).is_err(),
            "{path:?}"
        );
        let digest = "0".repeat(64);
        let named = tracking.log_artifact(&user(), owner.id(), path, &digest);
        assert!(named.is_err(), "{path:?}");
    }
    for folder in ["..", "/etc", "a/../..", "a\\b"] {
        assert!(
            tracking.list_artifacts(&owner, Some(folder)).is_err(),
            "{folder:?}"
        );
    }
}

#[test]
fn uris_name_runs_and_logged_models() {
    let read = |path: &'static str| parse_artifact_uri(path);
    let run = || ArtifactOwner::Run("r1".to_owned());
    let model = || ArtifactOwner::LoggedModel("m-1".to_owned());
    assert_eq!(read("0/r1/artifacts"), Some(("0", run(), "")));
    assert_eq!(read("0/r1/artifacts/a/b"), Some(("0", run(), "a/b")));
    assert_eq!(read("0/models/m-1/artifacts/a"), Some(("0", model(), "a")));
    assert_eq!(
        read("0/r1/artifacts/../../x"),
        Some(("0", run(), "../../x"))
    );
    for path in [
        "",
        "0",
        "0/r1",
        "0/r1/artifactsx",
        "0//artifacts",
        "/r1/artifacts",
        "0/models/m-1",
    ] {
        assert_eq!(read(path), None, "{path:?}");
    }
}

#[test]
fn logged_models_have_artifacts_of_their_own() {
    let (_, tracking, _) = service();
    let model = tracking
        .create_logged_model(&user(), "0", &NewLoggedModel::default())
        .unwrap();
    let owner = ArtifactOwner::LoggedModel(model.model_id.clone());
    tracking
        .put_artifact(&user(), &owner, "MLmodel", b"x")
        .unwrap();
    assert_eq!(paths(&tracking, &owner, None), ["MLmodel 1"]);
    assert_eq!(
        model.artifact_uri(),
        format!("mlflow-artifacts:/0/models/{}/artifacts", model.model_id)
    );
    assert_eq!(tracking.experiment_of_artifacts(&owner).unwrap(), "0");
    let nobody = ArtifactOwner::LoggedModel("m-nobody".to_owned());
    let put = tracking.put_artifact(&user(), &nobody, "a", b"x");
    assert!(matches!(put, Err(TrackingError::NotFound(_))));
    tracking
        .delete_logged_model(&user(), &model.model_id)
        .unwrap();
    assert!(tracking.logged_model(&model.model_id).is_err());
    assert!(tracking.list_artifacts(&owner, None).is_err());
}
