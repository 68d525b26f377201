//! The imports of `wit/` over the fake host, with the signatures of the generated bindings.
#![expect(
    missing_docs,
    clippy::similar_names,
    clippy::needless_pass_by_value,
    reason = "mirrors the bindings, which wit/ documents"
)]

use super::{State, answer, with};
use crate::CapabilityError;

type Answer<T> = Result<T, CapabilityError>;

pub mod log {
    pub use crate::bindings::airlock::operator::log::Level;

    pub fn log(level: Level, message: &str) {
        super::with(|state| state.lines.push((level, message.to_owned())));
    }
}

pub mod progress {
    pub fn report(fraction: Option<f64>, message: &str) {
        super::with(|state| state.reports.push((fraction, message.to_owned())));
    }

    pub fn is_cancelled() -> bool {
        super::with(|state| state.cancelled)
    }
}

pub mod time {
    use crate::time::{TimeError, Timestamp};
    use std::time::Duration;

    /// The present time of the fake host.
    pub fn now() -> Result<Timestamp, TimeError> {
        super::with(|state| Timestamp::from_micros(state.now))
    }

    /// Moves the fake host's clock.
    pub fn sleep(length: Duration) {
        super::with(|state| {
            state.slept += length;
            state.now += i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
        });
    }
}

pub mod xcom {
    use super::{Answer, answer};

    pub fn push(key: &str, value: &str) -> Answer<()> {
        answer("xcom", |state| {
            let place = (state.task_id.clone(), key.to_owned(), state.map_index);
            state.xcoms.insert(place, value.to_owned());
            Ok(())
        })
    }

    pub fn pull(task_id: &str, key: &str, map_index: Option<i32>) -> Answer<Option<String>> {
        answer("xcom", |state| {
            let place = (task_id.to_owned(), key.to_owned(), map_index.unwrap_or(-1));
            Ok(state.xcoms.get(&place).cloned())
        })
    }
}

pub mod storage {
    use super::{Answer, CapabilityError, answer};
    pub use crate::bindings::airlock::operator::storage::ObjectInfo;
    use std::cell::RefCell;

    /// The fake lists few objects a page, so that paging is tested.
    const PAGE: usize = 3;

    pub struct Reader(RefCell<std::vec::IntoIter<u8>>);

    impl Reader {
        pub fn read(&self, max: u32) -> Answer<Vec<u8>> {
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            Ok(self.0.borrow_mut().by_ref().take(max).collect())
        }
    }

    pub struct Writer {
        uri: String,
        bytes: RefCell<Vec<u8>>,
    }

    impl Writer {
        pub fn write(&self, bytes: &[u8]) -> Answer<()> {
            self.bytes.borrow_mut().extend_from_slice(bytes);
            Ok(())
        }

        pub fn finish(&self) -> Answer<String> {
            answer("storage", |state| {
                let bytes = self.bytes.take();
                let digest = format!("sha256-of-{}-bytes", bytes.len());
                state.objects.insert(self.uri.clone(), bytes);
                Ok(digest)
            })
        }
    }

    pub fn open(uri: &str) -> Answer<Reader> {
        answer("storage", |state| match state.objects.get(uri) {
            Some(bytes) => Ok(Reader(RefCell::new(bytes.clone().into_iter()))),
            None => Err(CapabilityError::NotFound(uri.to_owned())),
        })
    }

    pub fn create(uri: &str) -> Answer<Writer> {
        answer("storage", |_| {
            Ok(Writer {
                uri: uri.to_owned(),
                bytes: RefCell::default(),
            })
        })
    }

    pub fn head(uri: &str) -> Answer<Option<ObjectInfo>> {
        answer("storage", |state| {
            Ok(state.objects.get(uri).map(|bytes| info(uri, bytes)))
        })
    }

    pub fn list(prefix: &str, after: Option<&str>) -> Answer<Vec<ObjectInfo>> {
        answer("storage", |state| {
            Ok(state
                .objects
                .iter()
                .filter(|(uri, _)| uri.starts_with(prefix))
                .filter(|(uri, _)| after.is_none_or(|after| uri.as_str() > after))
                .take(PAGE)
                .map(|(uri, bytes)| info(uri, bytes))
                .collect())
        })
    }

    pub fn delete(uri: &str) -> Answer<()> {
        answer("storage", |state| {
            state.objects.remove(uri);
            Ok(())
        })
    }

    fn info(uri: &str, bytes: &[u8]) -> ObjectInfo {
        ObjectInfo {
            uri: uri.to_owned(),
            size: bytes.len() as u64,
        }
    }
}

pub mod tracking {
    use super::{Answer, CapabilityError, State, answer};
    pub use crate::bindings::airlock::operator::tracking::{Metric, RunInfo, RunStatus};

    fn find<'a>(state: &'a mut State, run_id: &str) -> Answer<&'a mut RunInfo> {
        let found = state.runs.iter_mut().find(|run| run.run_id == run_id);
        found.ok_or_else(|| CapabilityError::NotFound(format!("tracking run {run_id}")))
    }

    pub fn start_run(experiment: &str, name: &str) -> Answer<String> {
        answer("tracking", |state| {
            let same = |run: &&mut RunInfo| run.experiment == experiment && run.name == name;
            if let Some(run) = state.runs.iter_mut().find(same) {
                run.status = RunStatus::Running;
                return Ok(run.run_id.clone());
            }
            let run_id = format!("run-{}", state.runs.len() + 1);
            state.runs.push(RunInfo {
                run_id: run_id.clone(),
                experiment: experiment.to_owned(),
                name: name.to_owned(),
                status: RunStatus::Running,
                params: Vec::new(),
                metrics: Vec::new(),
                tags: Vec::new(),
            });
            Ok(run_id)
        })
    }

    pub fn log_params(run_id: &str, params: &[(String, String)]) -> Answer<()> {
        answer("tracking", |state| {
            let run = find(state, run_id)?;
            for (key, value) in params {
                match run.params.iter().find(|(there, _)| there == key) {
                    Some((_, there)) if there == value => {}
                    Some(_) => return Err(CapabilityError::Conflict(format!("param {key}"))),
                    None => run.params.push((key.clone(), value.clone())),
                }
            }
            Ok(())
        })
    }

    pub fn log_metrics(run_id: &str, metrics: &[Metric]) -> Answer<()> {
        answer("tracking", |state| {
            let run = find(state, run_id)?;
            for metric in metrics {
                run.metrics.retain(|there| there.key != metric.key);
                run.metrics.push(metric.clone());
            }
            Ok(())
        })
    }

    pub fn set_tags(run_id: &str, tags: &[(String, String)]) -> Answer<()> {
        answer("tracking", |state| {
            let run = find(state, run_id)?;
            for (key, value) in tags {
                run.tags.retain(|(there, _)| there != key);
                run.tags.push((key.clone(), value.clone()));
            }
            Ok(())
        })
    }

    pub fn log_artifact(run_id: &str, path: &str, artifact: &str) -> Answer<()> {
        answer("tracking", |state| {
            find(state, run_id)?;
            let place = (run_id.to_owned(), path.to_owned());
            state.artifacts.insert(place, artifact.to_owned());
            Ok(())
        })
    }

    pub fn end_run(run_id: &str, status: RunStatus) -> Answer<()> {
        answer("tracking", |state| {
            find(state, run_id)?.status = status;
            Ok(())
        })
    }

    pub fn get_run(run_id: &str) -> Answer<RunInfo> {
        answer("tracking", |state| {
            find(state, run_id).map(|run| run.clone())
        })
    }
}

pub mod models {
    use super::{Answer, CapabilityError, State, answer};
    pub use crate::bindings::airlock::operator::models::{ModelVersion, Stage};

    pub(crate) fn add(
        state: &mut State,
        name: &str,
        stage: Stage,
        run_id: &str,
        artifact: &str,
    ) -> ModelVersion {
        let versions = state.versions.entry(name.to_owned()).or_default();
        let version = ModelVersion {
            name: name.to_owned(),
            version: u32::try_from(versions.len() + 1).unwrap_or(u32::MAX),
            stage,
            run_id: run_id.to_owned(),
            artifact: artifact.to_owned(),
            tags: Vec::new(),
            aliases: Vec::new(),
        };
        versions.push(version.clone());
        version
    }

    pub fn register(
        name: &str,
        run_id: &str,
        artifact: &str,
        tags: &[(String, String)],
    ) -> Answer<ModelVersion> {
        answer("models", |state| {
            let known = state.versions.get(name).into_iter().flatten();
            let same =
                |version: &&ModelVersion| version.run_id == run_id && version.artifact == artifact;
            if let Some(version) = known.clone().find(same) {
                return Ok(version.clone());
            }
            let mut version = add(state, name, Stage::None, run_id, artifact);
            version.tags = tags.to_vec();
            replace(state, &version);
            Ok(version)
        })
    }

    fn replace(state: &mut State, version: &ModelVersion) {
        let versions = state.versions.entry(version.name.clone()).or_default();
        for there in versions
            .iter_mut()
            .filter(|there| there.version == version.version)
        {
            *there = version.clone();
        }
    }

    pub fn get_version(name: &str, version: u32) -> Answer<Option<ModelVersion>> {
        answer("models", |state| {
            let mut known = state.versions.get(name).into_iter().flatten();
            Ok(known.find(|there| there.version == version).cloned())
        })
    }

    pub fn get_latest_versions(name: &str, stages: &[Stage]) -> Answer<Vec<ModelVersion>> {
        answer("models", |state| {
            let known: Vec<ModelVersion> = state.versions.get(name).cloned().unwrap_or_default();
            let newest = |stage: &Stage| known.iter().rev().find(|there| there.stage == *stage);
            Ok(stages.iter().filter_map(newest).cloned().collect())
        })
    }

    pub fn transition_stage(
        name: &str,
        version: u32,
        stage: Stage,
        archive_existing_versions: bool,
    ) -> Answer<ModelVersion> {
        answer("models", |state| {
            let known = state.versions.entry(name.to_owned()).or_default();
            if !known.iter().any(|there| there.version == version) {
                return Err(CapabilityError::NotFound(format!("{name} v{version}")));
            }
            let mut moved = None;
            for there in known {
                if there.version == version {
                    there.stage = stage;
                    moved = Some(there.clone());
                } else if archive_existing_versions && there.stage == stage {
                    there.stage = Stage::Archived;
                }
            }
            moved.ok_or_else(|| CapabilityError::NotFound(format!("{name} v{version}")))
        })
    }

    /// The fake keeps no promotions: before a version comes the newest archived one with a smaller number.
    pub fn rollback(name: &str, from_version: u32) -> Answer<ModelVersion> {
        let production = get_latest_versions(name, &[Stage::Production])?;
        if let Some(there) = production.into_iter().next()
            && there.version != from_version
        {
            return Ok(there);
        }
        let known = answer("models", |state| {
            Ok(state.versions.get(name).cloned().unwrap_or_default())
        })?;
        let mut before = known
            .iter()
            .rev()
            .filter(|there| there.version < from_version);
        match before.find(|there| there.stage == Stage::Archived) {
            Some(there) => transition_stage(name, there.version, Stage::Production, true),
            None => Err(CapabilityError::NotFound(format!("before v{from_version}"))),
        }
    }

    /// The bytes that the fake keeps of an artifact are its name.
    pub fn read_artifact(name: &str, version: u32, offset: u64, max: u32) -> Answer<Vec<u8>> {
        let found = get_version(name, version)?;
        let found = found.ok_or_else(|| CapabilityError::NotFound(format!("{name} v{version}")))?;
        let bytes = found.artifact.into_bytes().into_iter();
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        Ok(bytes.skip(from).take(max as usize).collect())
    }

    pub fn set_alias(name: &str, alias: &str, version: u32) -> Answer<()> {
        answer("models", |state| {
            for there in state.versions.entry(name.to_owned()).or_default() {
                there.aliases.retain(|known| known != alias);
                if there.version == version {
                    there.aliases.push(alias.to_owned());
                }
            }
            Ok(())
        })
    }
}

pub mod dag_state {
    use super::{Answer, CapabilityError, answer};
    use crate::bindings::airlock::operator::dag_state::StateCount;
    use std::collections::BTreeMap;

    pub fn run_states(dag_id: &str, logical_date: &str) -> Answer<Vec<String>> {
        answer("dag_state", |state| {
            let place = (dag_id.to_owned(), logical_date.to_owned());
            Ok(state.run_states.get(&place).cloned().unwrap_or_default())
        })
    }

    pub fn task_states(dag_id: &str, task_id: &str, logical_date: &str) -> Answer<Vec<String>> {
        answer("dag_state", |state| {
            let place = (
                dag_id.to_owned(),
                task_id.to_owned(),
                logical_date.to_owned(),
            );
            Ok(state.task_states.get(&place).cloned().unwrap_or_default())
        })
    }

    pub fn run_states_of(dag_id: &str, logical_dates: &[String]) -> Answer<Vec<Option<String>>> {
        let states = logical_dates.iter().map(|date| run_states(dag_id, date));
        states
            .map(|states| Ok(states?.into_iter().next()))
            .collect()
    }

    pub fn task_state_counts(
        dag_id: &str,
        task_ids: &[String],
        logical_dates: &[String],
    ) -> Answer<Vec<StateCount>> {
        let mut counts = Vec::new();
        for logical_date in logical_dates {
            for task_id in task_ids {
                let mut states: BTreeMap<String, u32> = BTreeMap::new();
                for state in task_states(dag_id, task_id, logical_date)? {
                    *states.entry(state).or_default() += 1;
                }
                counts.extend(states.into_iter().map(|(state, instances)| StateCount {
                    logical_date: logical_date.clone(),
                    task_id: task_id.clone(),
                    state,
                    instances,
                }));
            }
        }
        Ok(counts)
    }

    pub fn group_state_counts(
        dag_id: &str,
        task_group_id: &str,
        logical_dates: &[String],
    ) -> Answer<Vec<StateCount>> {
        let place = (dag_id.to_owned(), task_group_id.to_owned());
        let members = answer("dag_state", |state| {
            Ok(state.groups.get(&place).cloned().unwrap_or_default())
        })?;
        task_state_counts(dag_id, &members, logical_dates)
    }

    pub fn check_existence(
        dag_id: &str,
        task_ids: &[String],
        task_group_id: Option<&str>,
    ) -> Answer<()> {
        let inside = task_ids.iter().map(String::as_str).chain(task_group_id);
        let mut names = vec![dag_id.to_owned()];
        names.extend(inside.map(|name| format!("{dag_id}.{name}")));
        answer("dag_state", |state| {
            let Some(existing) = &state.existing else {
                return Ok(());
            };
            match names.into_iter().find(|name| !existing.contains(name)) {
                Some(name) => Err(CapabilityError::NotFound(name)),
                None => Ok(()),
            }
        })
    }
}

pub mod dag_runs {
    use super::{Answer, CapabilityError, answer};
    use crate::dag_runs::{TriggerRequest, Triggered};

    pub fn trigger(request: &TriggerRequest) -> Answer<Triggered> {
        answer("dag_runs", |state| {
            let run_id = request.run_id.clone();
            let run_id = run_id.unwrap_or_else(|| "manual__made-for-the-test".to_owned());
            let place = (request.dag_id.clone(), run_id.clone());
            if state.dag_runs.contains_key(&place) && !request.reset_dag_run {
                return Err(CapabilityError::Conflict(run_id));
            }
            state.triggered.push(request.clone());
            let before = state.dag_runs.insert(place, "queued".to_owned());
            Ok(Triggered {
                run_id,
                created: before.is_none(),
            })
        })
    }

    pub fn state(dag_id: &str, run_id: &str) -> Answer<Option<String>> {
        answer("dag_runs", |state| {
            let place = (dag_id.to_owned(), run_id.to_owned());
            Ok(state.dag_runs.get(&place).cloned())
        })
    }
}

pub mod human {
    use super::{Answer, answer};

    pub fn ask(request: &str) -> Answer<Option<String>> {
        answer("human", |state| {
            state.questions.push(request.to_owned());
            Ok(state.answer.clone())
        })
    }
}

pub mod email {
    use super::{Answer, answer};
    use crate::email::Message;

    pub fn send(message: &Message) -> Answer<()> {
        answer("email", |state| {
            state.mails.push(message.clone());
            Ok(())
        })
    }
}

pub mod calendar {
    use super::{Answer, CapabilityError, answer, with};
    use crate::calendar::LocalTime;
    use crate::time::Timestamp;

    const MICROS_PER_HOUR: i64 = 3_600_000_000;

    fn shifted(text: &str, hours: i64) -> Answer<Timestamp> {
        let invalid = |error: crate::time::TimeError| CapabilityError::Invalid(error.to_string());
        let at: Timestamp = text.parse().map_err(invalid)?;
        Timestamp::from_micros(at.as_micros() + hours * MICROS_PER_HOUR).map_err(invalid)
    }

    pub fn to_local(instant: &str, _: Option<&str>) -> Answer<LocalTime> {
        let local = shifted(instant, with(|state| state.utc_offset))?;
        let text = local.to_string();
        let (date, time) = text.split_once('T').unwrap_or_default();
        // 1970-01-01 was a Thursday.
        let days = local.as_micros().div_euclid(24 * MICROS_PER_HOUR);
        Ok(LocalTime {
            date: date.to_owned(),
            time: time.trim_end_matches('Z').to_owned(),
            iso_weekday: u8::try_from((days + 3).rem_euclid(7) + 1).unwrap_or(1),
        })
    }

    pub fn from_local(date_time: &str, _: Option<&str>) -> Answer<String> {
        let hours = with(|state| state.utc_offset);
        // `HH:MM` has no seconds.
        let seconds = if date_time.len() == 16 { ":00" } else { "" };
        Ok(shifted(&format!("{date_time}{seconds}Z"), -hours)?.to_string())
    }

    pub fn is_latest_interval() -> Answer<bool> {
        answer("calendar", |state| Ok(!state.not_latest))
    }
}

pub mod secrets {
    use super::{Answer, CapabilityError, answer};

    pub fn placeholder(name: &str) -> Answer<String> {
        answer("secrets", |state| match state.secrets.get(name) {
            Some(placeholder) => Ok(placeholder.clone()),
            None => Err(CapabilityError::NotFound(format!("secret {name}"))),
        })
    }
}

pub mod http {
    use crate::http::{HttpError, Request, Response};

    pub fn send(request: Request) -> Result<Response, HttpError> {
        super::with(|state| {
            state.requests.push(request.clone());
            match &mut state.responder {
                Some(respond) => respond(&request),
                None => Err(HttpError::Failed(
                    "nobody answers: call Host::on_http".into(),
                )),
            }
        })
    }
}

pub use super::dataset;
pub use super::training::training;
