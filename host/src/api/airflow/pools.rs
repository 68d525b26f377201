//! Pools: listed with what is taken of them, made, changed, deleted.

use super::query::{By, PAGED, Page, Pattern, order};
use super::{
    About, ApiError, Call, JsonSchema, Kind, Reply, Route, UPDATE_MASK, invalid, is_masked,
};
use crate::app::Role::{Admin, Viewer};
use crate::app::{PoolRow, PoolUse};
use airlock_core::ids::PoolName;
use serde::{Deserialize, Serialize};

pub(super) const ROUTES: &[Route] = &[
    Route::airflow(
        "GET",
        "/api/v2/pools",
        Viewer,
        list,
        About::new("List pools")
            .query(&[
                PAGED,
                &[
                    ("pool_name_pattern", Kind::Text),
                    ("pool_name_prefix_pattern", Kind::Text),
                ],
            ])
            .answers::<Pools>(),
    )
    .for_all(),
    Route::airflow(
        "GET",
        "/api/v2/pools/{pool_name}",
        Viewer,
        get,
        About::new("A pool").answers::<PoolResponse>(),
    )
    .for_all(),
    Route::airflow(
        "POST",
        "/api/v2/pools",
        Admin,
        create,
        About::new("Make a pool")
            .takes::<PoolBody>()
            .creates::<PoolResponse>(),
    ),
    Route::airflow(
        "PATCH",
        "/api/v2/pools/{pool_name}",
        Admin,
        patch,
        About::new("Change a pool")
            .query(&[UPDATE_MASK])
            .takes::<PoolPatchBody>()
            .answers::<PoolResponse>(),
    ),
    Route::airflow(
        "DELETE",
        "/api/v2/pools/{pool_name}",
        Admin,
        delete,
        About::new("Delete a pool that nothing needs").answers_nothing(),
    ),
];

/// A pool and what is taken of it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct PoolResponse {
    name: String,
    /// -1 is unlimited.
    slots: i64,
    description: Option<String>,
    include_deferred: bool,
    occupied_slots: i64,
    running_slots: i64,
    queued_slots: i64,
    scheduled_slots: i64,
    open_slots: i64,
    deferred_slots: i64,
    team_name: Option<String>,
}

/// Pools of a page, and how many there are in all.
#[derive(Serialize, JsonSchema)]
struct Pools {
    pools: Vec<PoolResponse>,
    total_entries: usize,
}

/// A new pool.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PoolBody {
    name: String,
    /// -1 is unlimited.
    slots: i64,
    description: Option<String>,
    #[serde(default)]
    include_deferred: bool,
    team_name: Option<String>,
}

/// What is changed about a pool.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PoolPatchBody {
    /// Its name; it cannot be changed.
    pool: Option<String>,
    slots: Option<i64>,
    description: Option<String>,
    include_deferred: Option<bool>,
    team_name: Option<String>,
}

impl PoolResponse {
    fn new(pool: &PoolRow, taken: &PoolUse) -> Self {
        let occupied = taken.running
            + if pool.include_deferred {
                taken.deferred
            } else {
                0
            };
        Self {
            name: pool.name.to_string(),
            slots: pool.slots,
            description: Some(pool.description.clone()).filter(|text| !text.is_empty()),
            include_deferred: pool.include_deferred,
            occupied_slots: occupied,
            running_slots: taken.running,
            // An attempt that is admitted starts at once: nothing is queued.
            queued_slots: 0,
            scheduled_slots: taken.scheduled,
            open_slots: if pool.slots < 0 {
                -1
            } else {
                (pool.slots - occupied).max(0)
            },
            deferred_slots: taken.deferred,
            team_name: None,
        }
    }
}

fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    let pattern = Pattern::of(&call.fields, "pool_name")?;
    let taken = call.app.pool_use()?;
    let pools = call.app.pools()?;
    let named = pools.iter().filter(|pool| pattern.fits(pool.name.as_str()));
    let mut pools: Vec<_> = named
        .map(|pool| PoolResponse::new(pool, &taken.get(&pool.name).copied().unwrap_or_default()))
        .collect();
    let by: &[By<PoolResponse>] = &[
        ("id", |one, other| one.name.cmp(&other.name)),
        ("name", |one, other| one.name.cmp(&other.name)),
        ("slots", |one, other| one.slots.cmp(&other.slots)),
    ];
    order(&mut pools, &call.fields, by)?;
    Reply::ok(&Pools {
        total_entries: pools.len(),
        pools: Page::of(&call.fields)?.cut(pools),
    })
}

fn shown(call: &Call<'_>, name: &str) -> Result<PoolResponse, ApiError> {
    let pool = call.app.pool(name)?;
    let taken = call.app.pool_use()?.get(&pool.name).copied();
    Ok(PoolResponse::new(&pool, &taken.unwrap_or_default()))
}

fn get(call: &Call<'_>) -> Result<Reply, ApiError> {
    Reply::ok(&shown(call, call.fields.need_text("pool_name")?)?)
}

fn no_team(team: Option<&String>) -> Result<(), ApiError> {
    match team {
        None => Ok(()),
        Some(_) => Err(ApiError::not_implemented(
            "there are no teams: leave team_name out",
        )),
    }
}

fn set(call: &Call<'_>, event: &str, pool: PoolRow) -> Result<(), ApiError> {
    pool.check()?;
    let name = pool.name.to_string();
    call.audited(event, &format!("pool/{name}"), || {
        Ok(call.wait(call.app.set_pool(pool))?)
    })
}

fn create(call: &Call<'_>) -> Result<Reply, ApiError> {
    let body: PoolBody = call.read()?;
    no_team(body.team_name.as_ref())?;
    let name = PoolName::parse(&body.name).map_err(invalid)?;
    if call.app.pool(&body.name).is_ok() {
        return Err(
            ApiError::conflict(format!("there is a pool {:?} already", body.name))
                .hint("PATCH changes it"),
        );
    }
    let pool = PoolRow {
        name,
        slots: body.slots,
        description: body.description.unwrap_or_default(),
        include_deferred: body.include_deferred,
        gpus: None,
    };
    set(call, "post_pool", pool)?;
    Reply::created(&shown(call, &body.name)?)
}

fn patch(call: &Call<'_>) -> Result<Reply, ApiError> {
    let body: PoolPatchBody = call.read()?;
    no_team(body.team_name.as_ref())?;
    let name = call.fields.need_text("pool_name")?;
    if body.pool.as_deref().is_some_and(|other| other != name) {
        return Err(ApiError::not_implemented(
            "a pool keeps its name: make another one, and delete this one",
        ));
    }
    let mut pool = call.app.pool(name)?;
    if let (Some(slots), false) = (body.slots, is_masked(&call.fields, "slots")?) {
        pool.slots = slots;
    }
    if let (Some(text), false) = (body.description, is_masked(&call.fields, "description")?) {
        pool.description = text;
    }
    let is_kept = is_masked(&call.fields, "include_deferred")?;
    if let (Some(is_included), false) = (body.include_deferred, is_kept) {
        pool.include_deferred = is_included;
    }
    set(call, "patch_pool", pool)?;
    Reply::ok(&shown(call, name)?)
}

fn delete(call: &Call<'_>) -> Result<Reply, ApiError> {
    let name = call.fields.need_text("pool_name")?;
    call.app.pool(name)?;
    call.audited("delete_pool", &format!("pool/{name}"), || {
        Ok(call.wait(call.app.delete_pool(name))?)
    })?;
    Ok(Reply::nothing())
}
